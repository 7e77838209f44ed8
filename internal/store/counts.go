package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
)

// Events are counted by type and hour in memory, as they are committed: an event costs no further write. What was counted is
// written now and then, together with the sequence number up to which it was; what follows that in the log is counted again when
// the store is opened. So the counts are exact, whatever happened in between.

// When the counts are written: memory holds about as many of them twice, and an opening reads as many events.
const (
	maxCounts   = 4096
	maxRecounts = 100_000
)

// countKey names a count. Type 0 is all types that are not counted by name.
type countKey struct {
	project uint32
	by      query.By
	typ     uint32
	hour    query.Hour
}

// count is how many events there are, and between which sequence numbers.
type count struct{ events, first, last uint64 }

func (c count) plus(d count) count {
	switch {
	case c.events == 0:
		return d
	case d.events == 0:
		return c
	}
	return count{c.events + d.events, min(c.first, d.first), max(c.last, d.last)}
}

// namedType is a type that is counted by name.
type namedType struct {
	project uint32
	number  uint32
	name    string
}

// counts is what is not on the disk yet.
type counts struct {
	writing sync.Mutex  // held by the one that writes; taken before mu
	due     atomic.Bool // it is time to write

	mu      sync.Mutex // guards what follows. Taken under the store's lock, never the other way round
	types   map[uint32]map[string]uint32
	unsaved []namedType // of types
	young   generationOfCounts
	old     generationOfCounts // being written
	most    int                // of counts in a generation, but for those of one more transaction
}

// generationOfCounts are the counts of a stretch of the log that ends at a sequence number.
type generationOfCounts struct {
	counts  map[countKey]count
	events  int
	through uint64
}

func newCounts() counts {
	return counts{
		types: make(map[uint32]map[string]uint32),
		young: generationOfCounts{counts: make(map[countKey]count)}, most: maxCounts,
	}
}

// countedEvent is of an event what is counted.
type countedEvent struct {
	project        uint32
	typ            string
	time, received trackway.Micros
	seq            uint64
}

func counted(e *trackway.Event) countedEvent {
	return countedEvent{e.Project, e.Type, e.Time, e.Received, e.Seq}
}

// add counts events, in order of their numbers.
func (c *counts) add(events []countedEvent) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &c.young
	for i := range events {
		e := &events[i]
		one := count{1, e.seq, e.seq}
		key := countKey{project: e.project, by: query.ByTime, typ: c.number(e.project, e.typ), hour: query.HourOf(e.time)}
		g.counts[key] = g.counts[key].plus(one)
		key.by, key.hour = query.ByReceived, query.HourOf(e.received)
		g.counts[key] = g.counts[key].plus(one)
		g.through = e.seq
	}
	g.events += len(events)
	if len(g.counts) >= c.most || g.events >= maxRecounts {
		c.due.Store(true)
	}
}

// number returns a type's number, giving it the next if it has none; 0 if there are enough already.
func (c *counts) number(project uint32, name string) uint32 {
	types := c.types[project]
	if n, ok := types[name]; ok {
		return n
	}
	if len(types) >= query.MaxTypes {
		return 0
	}
	if types == nil {
		types = make(map[string]uint32)
		c.types[project] = types
	}
	name = strings.Clone(name)  // it is a part of a request's body
	n := uint32(len(types) + 1) //nolint:gosec // G115: at most MaxTypes
	types[name] = n
	c.unsaved = append(c.unsaved, namedType{project, n, name})
	return n
}

// turn makes the young generation the old one, unless there is one that could not be written, and returns it with the types
// that it may need. The caller holds writing.
func (c *counts) turn() (generationOfCounts, []namedType) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.old.counts == nil {
		c.old, c.young = c.young, generationOfCounts{counts: make(map[countKey]count)}
		c.due.Store(false)
	}
	return c.old, slices.Clip(c.unsaved)
}

// saveCounts writes what was counted. Only the read is done with nobody waiting but those who would write, too; the commit, of
// a few thousand small records at most, keeps others from counting for a moment.
func (s *Store) saveCounts() error {
	c := &s.counts
	c.writing.Lock()
	defer c.writing.Unlock()
	g, types := c.turn()
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	for _, t := range types {
		if err := b.Set(appendTypeKey(nil, t.project, t.name), binary.BigEndian.AppendUint32(nil, t.number), nil); err != nil {
			return err
		}
	}
	if err := s.stageCounts(b, g); err != nil {
		return fmt.Errorf("save counts: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	c.unsaved, c.old = c.unsaved[len(types):], generationOfCounts{}
	return nil
}

func (s *Store) stageCounts(b *pebble.Batch, g generationOfCounts) error {
	var key []byte
	for k, n := range g.counts {
		key = appendCountKey(key[:0], k)
		stored, closer, err := s.db.Get(key)
		if err == nil {
			var before count
			before, err = decodeCount(stored)
			n = before.plus(n)
			err = errors.Join(err, closer.Close())
		}
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return err
		}
		if err := b.Set(key, appendCount(nil, n), nil); err != nil {
			return err
		}
	}
	if len(g.counts) == 0 {
		return nil
	}
	return b.Set(keyCounted, binary.BigEndian.AppendUint64(nil, g.through), nil)
}

// loadCounts reads the types that are counted by name, and counts what was not written.
func (s *Store) loadCounts() error {
	if err := s.loadTypes(); err != nil {
		return err
	}
	value, closer, err := s.db.Get(keyCounted)
	var from uint64
	if err == nil {
		from = binary.BigEndian.Uint64(value)
		err = closer.Close()
	}
	if err != nil && !errors.Is(err, pebble.ErrNotFound) {
		return err
	}
	types := make(typeNames)
	var one [1]countedEvent
	return scanRange(s.db, appendLogKey(nil, from+1), []byte{tableLog + 1}, false, func(key, record []byte) error {
		e, err := viewEvent(binary.BigEndian.Uint64(key[1:]), record, types)
		if err != nil {
			return err
		}
		one[0] = counted(&e)
		s.counts.add(one[:])
		if s.counts.due.Load() {
			return s.saveCounts()
		}
		return nil
	})
}

func (s *Store) loadTypes() error {
	return scan(s.db, []byte{tableTypes}, func(key, value []byte) error {
		project := binary.BigEndian.Uint32(key)
		types := s.counts.types[project]
		if types == nil {
			types = make(map[string]uint32)
			s.counts.types[project] = types
		}
		types[string(key[4:])] = binary.BigEndian.Uint32(value)
		return nil
	})
}

// Counts implements [query.CountReader].
func (v *snapshot) Counts(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	view, err := v.store.viewCounts(project, r)
	if err != nil {
		return err
	}
	return errors.Join(view.read(r, yield), view.it.Close())
}

// countView is what was written and what was not, at one moment.
type countView struct {
	it    *pebble.Iterator
	types map[uint32]string // those asked for, 0 among them
	fresh map[countKey]count
	key   countKey // project and time
}

func (s *Store) viewCounts(project uint32, r query.CountRange) (*countView, error) {
	v := &countView{key: countKey{project: project, by: r.By}, types: make(map[uint32]string), fresh: make(map[countKey]count)}
	c := &s.counts
	c.mu.Lock() // nothing is written meanwhile
	defer c.mu.Unlock()
	for name, n := range c.types[project] {
		if r.Type == "" || r.Type == name {
			v.types[n] = name
		}
	}
	if r.Type == "" {
		v.types[0] = ""
	}
	for _, counts := range []map[countKey]count{c.old.counts, c.young.counts} {
		for k, n := range counts {
			_, wanted := v.types[k.typ]
			if k.project == project && k.by == r.By && wanted && k.hour >= r.Since && (r.Until == 0 || k.hour < r.Until) {
				v.fresh[k] = v.fresh[k].plus(n)
			}
		}
	}
	prefix := appendCountsPrefix(nil, project, r.By)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	v.it = it
	return v, err
}

// read goes through what was written, adding what was not, and then through the rest of that.
func (v *countView) read(r query.CountRange, yield func(query.Count) bool) error {
	var key []byte
	for number, name := range v.types {
		k := v.key
		k.typ, k.hour = number, r.Since
		key = appendCountKey(key[:0], k)
		for ok := v.it.SeekGE(key); ok; ok = v.it.Next() {
			at := v.it.Key()
			k.hour = query.Hour(binary.BigEndian.Uint32(at[len(at)-4:]))
			if binary.BigEndian.Uint32(at[len(at)-8:]) != number || r.Until != 0 && k.hour >= r.Until {
				break
			}
			n, err := decodeCount(v.it.Value())
			if err != nil {
				return err
			}
			n = n.plus(v.fresh[k])
			delete(v.fresh, k)
			if !yield(query.Count{Type: name, Hour: k.hour, Events: n.events, First: n.first, Last: n.last}) {
				return nil
			}
		}
	}
	for k, n := range maps.All(v.fresh) {
		if !yield(query.Count{Type: v.types[k.typ], Hour: k.hour, Events: n.events, First: n.first, Last: n.last}) {
			break
		}
	}
	return v.it.Error()
}

func appendCountKey(b []byte, k countKey) []byte {
	b = appendCountsPrefix(b, k.project, k.by)
	b = binary.BigEndian.AppendUint32(b, k.typ)
	return binary.BigEndian.AppendUint32(b, uint32(k.hour))
}

func appendCountsPrefix(b []byte, project uint32, by query.By) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, tableCounts), project), byte(by))
}

func appendTypeKey(b []byte, project uint32, name string) []byte {
	return append(binary.BigEndian.AppendUint32(append(b, tableTypes), project), name...)
}

func appendCount(b []byte, c count) []byte {
	b = binary.AppendUvarint(b, c.events)
	b = binary.AppendUvarint(b, c.first)
	return binary.AppendUvarint(b, c.last-c.first)
}

func decodeCount(record []byte) (count, error) {
	r := reader{s: string(record)}
	c := count{events: r.uvarint(), first: r.uvarint()}
	c.last = c.first + r.uvarint()
	return c, r.err()
}
