// Package counts counts events by type and hour. It counts them in memory as
// they are committed, so an event costs no additional write. From time to time
// it writes the counts together with the sequence number of the last counted
// event. When the store is opened, it counts the later events in the log again.
// So the counts are exact even after a crash.
//
// Counting never fails the events that it counts. A commit waits for a write of
// counts only if memory would fill up otherwise. A row that cannot be read is
// reported and left as it is, and all other rows are still counted.
package counts

import (
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Thresholds for writing the counts: the number of cells, some of which memory
// holds in both generations, and the number of events that an opening has to
// read again. During a write, up to maxBehind times as many cells may
// accumulate.
const (
	mostCells   = 4096
	maxRecounts = 100_000
	maxBehind   = 8
)

// cell identifies one count within a project. Type 0 stands for all types that
// are not counted by name.
type cell struct {
	by   query.By
	typ  uint32
	hour query.Hour
}

// row is the number of events in a cell and their first and last sequence
// numbers.
type row struct{ events, first, last uint64 }

func (a row) plus(b row) row {
	switch {
	case a.events == 0:
		return b
	case b.events == 0:
		return a
	}
	return row{a.events + b.events, min(a.first, b.first), max(a.last, b.last)}
}

// Event is the part of an event that counting needs.
type Event struct {
	Project        uint32
	Type           string
	Time, Received trackway.Micros
	Seq            uint64

	number uint32 // of the type; 0: the type has none and is counted under type 0
}

// Of returns the part of e that counting needs.
func Of(e *trackway.Event) Event {
	return Event{Project: e.Project, Type: e.Type, Time: e.Time, Received: e.Received, Seq: e.Seq}
}

// types holds the types of a project that are counted by name.
type types struct {
	numbers map[string]uint32 // from 1
	names   []string          // indexed by number - 1; append only
}

// namedType is a type that gets a number.
type namedType struct {
	project uint32
	number  uint32
	name    string
}

// generation holds the counts of a stretch of the log that ends at the sequence
// number through.
type generation struct {
	cells   map[uint32]map[cell]row // by project
	size    int                     // number of cells
	events  int
	through uint64
}

// Counter counts the events of a store. Safe for concurrent use.
type Counter struct {
	db     *pebble.DB
	report func(error)

	// Most is the number of cells to count before they are written. It may only
	// be set before the first use.
	Most int

	due        atomic.Bool // it is time to write
	full       atomic.Bool // memory has no room for more
	saving     atomic.Bool // a write in the background is under way
	background sync.WaitGroup
	damaged    sync.Once // reports the first damaged row
	failed     atomic.Bool
	saved      atomic.Uint64 // the counts of events up to this one are in the database

	writing sync.Mutex // held by the writer; taken before moving
	// held while counts move from memory to the database, and by readers of
	// both; taken before mu
	moving sync.RWMutex

	mu     sync.Mutex // guards what follows, only while counting; taken under the store's lock
	types  map[uint32]*types
	closed bool        // types get no more numbers: a row of types is lost, and its number is unknown
	named  []namedType // new types of the events that are added next
	young  generation
	old    generation // being written; its cells do not change
}

// New returns a counter that keeps its counts in db. Call [Counter.Load] before
// using it. report receives what cannot be read or written: the first damaged
// row, and each write that fails after one that succeeded.
func New(db *pebble.DB, report func(error)) *Counter {
	return &Counter{db: db, report: report, Most: mostCells, types: make(map[uint32]*types), young: newGeneration()}
}

func newGeneration() generation { return generation{cells: make(map[uint32]map[cell]row)} }

// Writer receives the records of a batch.
type Writer interface {
	Set(key, value []byte, o *pebble.WriteOptions) error
}

// Number assigns numbers to the types of events. It stages the new ones in b,
// together with the events, so a type's number depends on the events before it
// and not on when counts are saved. The events must be added after b is
// committed. If b is never committed, the numbers are assigned again.
func (c *Counter) Number(b Writer, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named = c.named[:0]
	for i := range events {
		e := &events[i]
		if i > 0 && e.Project == events[i-1].Project && e.Type == events[i-1].Type {
			e.number = events[i-1].number
			continue
		}
		if e.number = c.number(e.Project, e.Type); e.number != 0 || c.closed {
			continue
		}
		n := uint32(1)
		if t := c.types[e.Project]; t != nil {
			n += uint32(len(t.names))
		}
		for _, t := range c.named {
			if t.project == e.Project {
				n++
			}
		}
		if n > query.MaxTypes {
			continue
		}
		name := strings.Clone(e.Type) // copied, since it is a part of a request's body
		e.number, c.named = n, append(c.named, namedType{e.Project, n, name})
		if err := b.Set(format.Key(nil).Type(e.Project, name), binary.BigEndian.AppendUint32(nil, n), nil); err != nil {
			return err
		}
	}
	return nil
}

// number returns the number of a type, or 0 if it has none.
func (c *Counter) number(project uint32, name string) uint32 {
	if t := c.types[project]; t != nil {
		if n, ok := t.numbers[name]; ok {
			return n
		}
	}
	for _, t := range c.named {
		if t.project == project && t.name == name {
			return t.number
		}
	}
	return 0
}

// Add counts events in the order of their sequence numbers. It keeps no
// reference to them. REQUIRES: they are committed together with the batch of
// the last call of [Counter.Number], which received these events.
func (c *Counter) Add(events []Event) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.named {
		of := c.typesOf(t.project)
		of.names = append(of.names, t.name)
		of.numbers[t.name] = t.number
	}
	c.named = c.named[:0]
	c.addLocked(events)
	if g := &c.young; g.size >= c.Most || g.events >= maxRecounts {
		c.due.Store(true)
		c.full.Store(g.size >= maxBehind*c.Most)
	}
}

func (c *Counter) addLocked(events []Event) {
	g := &c.young
	g.add(events, query.ByTime, func(e *Event) trackway.Micros { return e.Time })
	g.add(events, query.ByReceived, func(e *Event) trackway.Micros { return e.Received })
	g.through = events[len(events)-1].Seq
	g.events += len(events)
}

// Again counts an event of the log that is not in the saved counts. Its type
// got a number when the event was stored, or never gets one.
func (c *Counter) Again(e Event) {
	c.mu.Lock()
	e.number = c.number(e.Project, e.Type)
	c.mu.Unlock()
	c.Add([]Event{e})
}

// add counts events by one of their times. Adjacent events often have the same
// cell, so add looks up a cell once for all of them.
func (g *generation) add(events []Event, by query.By, at func(*Event) trackway.Micros) {
	cellOf := func(e *Event) cell { return cell{by, e.number, query.HourOf(at(e))} }
	for first := 0; first < len(events); {
		project, k := events[first].Project, cellOf(&events[first])
		next := first + 1
		for next < len(events) && events[next].Project == project && cellOf(&events[next]) == k {
			next++
		}
		cells := g.cells[project]
		if cells == nil {
			cells = make(map[cell]row)
			g.cells[project] = cells
		}
		before := len(cells)
		cells[k] = cells[k].plus(row{uint64(next - first), events[first].Seq, events[next-1].Seq})
		g.size += len(cells) - before
		first = next
	}
}

func (c *Counter) typesOf(project uint32) *types {
	t := c.types[project]
	if t == nil {
		t = &types{numbers: make(map[string]uint32)}
		c.types[project] = t
	}
	return t
}

// ByName reports whether a project's events of a type are counted by name. This
// is also true of a type without events if there is room for another one.
func (c *Counter) ByName(project uint32, typ string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.types[project]
	if !c.closed && (t == nil || len(t.names) < query.MaxTypes) {
		return true
	}
	return t != nil && t.numbers[typ] != 0
}

// Due reports whether it is time to write.
func (c *Counter) Due() bool { return c.due.Load() }

// Room blocks until there is memory for more counts. Call it before committing
// events. It reports errors and does not return them.
func (c *Counter) Room() {
	if c.full.Load() {
		_ = c.Save() // reported
	}
}

// SaveSoon starts a write in the background if it is time. It reports errors
// and does not return them.
func (c *Counter) SaveSoon() {
	if !c.due.Load() || !c.saving.CompareAndSwap(false, true) {
		return
	}
	c.background.Go(func() {
		defer c.saving.Store(false)
		_ = c.Save() // reported
	})
}

// Close writes the remaining counts. Nothing may be counted afterwards.
func (c *Counter) Close() error {
	c.background.Wait()
	return c.Save()
}
