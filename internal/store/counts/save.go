package counts

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/query"
	"trackway/internal/store/format"
)

// errDamaged is a row that cannot be read.
var errDamaged = errors.New("the row cannot be read")

// Save writes everything counted before the call. If it fails, it reports the
// error and keeps the counts in memory for the next attempt. They do not pile
// up, since a store that cannot write counts cannot commit events either. A row
// that cannot be read is not an error: Save reports it, leaves it as it is, and
// drops the new counts for it.
func (c *Counter) Save() (err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	defer func() {
		if c.failed.Swap(err != nil) != (err != nil) && err != nil {
			c.report(fmt.Errorf("save counts of events: %w", err))
		}
	}()
	if err := c.write(); err != nil { // what an earlier attempt could not write
		return err
	}
	c.turn()
	return c.write()
}

// SaveThrough saves the counts, unless those of all events up to seq are
// already saved.
func (c *Counter) SaveThrough(seq uint64) error {
	if seq <= c.saved.Load() {
		return nil
	}
	return c.Save()
}

// turn makes the young generation the old one.
func (c *Counter) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old, c.young = c.young, newGeneration()
	c.due.Store(false)
	c.full.Store(false)
}

// write writes the old generation and then drops it. Nobody waits while it
// reads. Readers of counts wait during the commit, which has a few thousand
// small records at most.
func (c *Counter) write() error {
	c.mu.Lock()
	g := c.old
	c.mu.Unlock()
	if g.size == 0 {
		return nil
	}
	b := c.db.NewBatch()
	defer func() { _ = b.Close() }() // releases memory
	if err := c.stage(b, g); err != nil {
		return err
	}
	c.moving.Lock()
	defer c.moving.Unlock()
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.old = generation{}
	c.saved.Store(g.through)
	return nil
}

// stage adds the cells of a generation to their rows.
func (c *Counter) stage(b *pebble.Batch, g generation) error {
	var key, value []byte
	for project, cells := range g.cells {
		for k, n := range cells {
			key = format.Key(key[:0]).Count(project, k.by, k.typ, k.hour)
			before, err := c.row(key)
			if err != nil {
				c.damaged.Do(func() { c.report(fmt.Errorf("count events of project %d in hour %d: %w", project, k.hour, err)) })
				continue
			}
			value = appendRow(value[:0], before.plus(n))
			if err := b.Set(key, value, nil); err != nil {
				return err
			}
		}
	}
	return b.Set([]byte(format.KeyCounted), binary.BigEndian.AppendUint64(nil, g.through), nil)
}

func (c *Counter) row(key []byte) (row, error) {
	stored, closer, err := c.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return row{}, nil
	} else if err != nil {
		return row{}, err
	}
	r, err := decodeRow(stored)
	return r, errors.Join(err, closer.Close())
}

// Load reads the types that are counted by name. It returns the sequence number
// of the last counted event: the later events in the log must be added, up to
// last. It reports what cannot be read. If the record of that number is
// damaged, nothing is counted again: the report reveals counts that are too
// low, but nothing would reveal events that are counted twice.
func (c *Counter) Load(last uint64) (through uint64) {
	defer func() { c.saved.Store(through) }()
	if err := c.loadTypes(); err != nil {
		c.closed = true
		c.report(fmt.Errorf("names of types: %w: no type that is new is counted by its name", err))
	}
	value, closer, err := c.db.Get([]byte(format.KeyCounted))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0
	}
	if err == nil {
		through = number64(value)
		err = closer.Close()
	}
	if err != nil || through == 0 {
		c.report(fmt.Errorf("how far events are counted: %w", cmp.Or(err, errDamaged)))
		return last
	}
	return through
}

// number64 reads a number that is never 0. It returns 0 if the number is
// damaged.
func number64(value []byte) uint64 {
	if len(value) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(value)
}

// loadTypes reads all rows of types that are readable. The error is that of an
// unreadable one.
func (c *Counter) loadTypes() error {
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: []byte{format.TableTypes}, UpperBound: []byte{format.TableTypes + 1}})
	if err != nil {
		return err
	}
	for it.First(); it.Valid(); it.Next() {
		if bad := c.loadType(it.Key()[1:], it.Value()); bad != nil {
			err = bad
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (c *Counter) loadType(key, value []byte) error {
	if len(key) < 4 || len(value) != 4 {
		return errDamaged
	}
	project, name, number := binary.BigEndian.Uint32(key), string(key[4:]), binary.BigEndian.Uint32(value)
	if number == 0 || number > query.MaxTypes {
		return fmt.Errorf("number %d: %w", number, errDamaged)
	}
	t := c.typesOf(project)
	t.numbers[name] = number
	t.names = append(t.names, make([]string, max(0, int(number)-len(t.names)))...)
	t.names[number-1] = name
	return nil
}

func appendRow(b []byte, r row) []byte {
	b = binary.AppendUvarint(b, r.events)
	b = binary.AppendUvarint(b, r.first)
	return binary.AppendUvarint(b, r.last-r.first)
}

func decodeRow(record []byte) (row, error) {
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(record)
		if n <= 0 {
			return row{}, errDamaged
		}
		numbers[i], record = v, record[n:]
	}
	return row{numbers[0], numbers[1], numbers[1] + numbers[2]}, nil
}
