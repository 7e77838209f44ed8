package counts

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Read calls yield for the counts of a project within r, as [query.CountReader]
// specifies.
func (c *Counter) Read(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	v, err := c.view(project, r)
	if err != nil {
		return err
	}
	return errors.Join(v.read(yield), v.it.Close())
}

// view combines the saved and unsaved counts at one moment.
type view struct {
	query.CountRange

	it          *pebble.Iterator
	project     uint32
	names       []string // indexed by number - 1
	number      uint32   // of the requested type; 0 if it has none or no type is requested
	young, old  map[cell]row
	fresh       map[cell]row // the unsaved counts within the range
	key, prefix []byte
}

// view takes a consistent view for a reader. Counting waits only while it
// copies the counts of one project.
func (c *Counter) view(project uint32, r query.CountRange) (*view, error) {
	v := &view{CountRange: r, project: project, prefix: format.Key(nil).CountPrefix(project, r.By)}
	c.moving.RLock()
	defer c.moving.RUnlock()
	c.copyInto(v)
	end := format.Key(nil).CountPrefix(project, r.By+1)
	it, err := c.db.NewIter(&pebble.IterOptions{LowerBound: v.prefix, UpperBound: end})
	v.it = it
	return v, err
}

func (c *Counter) copyInto(v *view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.types[v.project]; t != nil {
		v.names, v.number = t.names, t.numbers[v.Type]
	}
	if c.closed {
		v.names = append(slices.Clip(v.names), make([]string, query.MaxTypes-len(v.names))...)
	}
	v.young, v.old = maps.Clone(c.young.cells[v.project]), c.old.cells[v.project]
}

// read merges the saved rows with the unsaved counts, then passes on the
// unsaved counts that have no saved row.
func (v *view) read(yield func(query.Count) bool) error {
	if v.Type != "" && v.number == 0 {
		return nil
	}
	v.gather()
	first, last := uint32(0), uint32(len(v.names))
	if v.Type != "" {
		first, last = v.number, v.number
	}
	for typ := first; typ <= last; typ++ {
		if more, err := v.readType(typ, yield); err != nil || !more {
			return err
		}
	}
	for k, n := range v.fresh {
		if !yield(v.count(k, n)) {
			break
		}
	}
	return nil
}

// gather collects the unsaved counts within the range.
func (v *view) gather() {
	v.fresh = make(map[cell]row)
	for _, cells := range []map[cell]row{v.old, v.young} {
		for k, n := range cells {
			if k.by == v.By && (v.Type == "" || k.typ == v.number) && k.hour >= v.Since && (v.Until == 0 || k.hour < v.Until) {
				v.fresh[k] = v.fresh[k].plus(n)
			}
		}
	}
}

// readType reads the rows of a type, and reports whether to go on.
func (v *view) readType(typ uint32, yield func(query.Count) bool) (more bool, err error) {
	k := cell{v.By, typ, v.Since}
	v.key = format.Key(v.key[:0]).Count(v.project, k.by, k.typ, k.hour)
	for ok := v.it.SeekGE(v.key); ok; ok = v.it.Next() {
		rest := v.it.Key()[len(v.prefix):]
		k.hour = query.Hour(binary.BigEndian.Uint32(rest[4:]))
		if binary.BigEndian.Uint32(rest) != typ || v.Until != 0 && k.hour >= v.Until {
			break
		}
		n, err := decodeRow(v.it.Value())
		if err != nil {
			return false, fmt.Errorf("count of events in hour %d: %w", k.hour, err)
		}
		n = n.plus(v.fresh[k])
		delete(v.fresh, k)
		if !yield(v.count(k, n)) {
			return false, nil
		}
	}
	return true, v.it.Error()
}

func (v *view) count(k cell, n row) query.Count {
	c := query.Count{Hour: k.hour, Events: n.events, First: n.first, Last: n.last}
	if k.typ != 0 {
		c.Type = v.names[k.typ-1]
	}
	return c
}
