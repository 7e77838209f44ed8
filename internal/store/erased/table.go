package erased

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// MaxDone is the number of done erasures to remember. A day may have more of
// them than that, so they are also remembered for a time, in which destinations
// hear that they are done.
const (
	MaxDone = 1000
	minTime = trackway.Micros(time.Hour / time.Microsecond)
)

// unknown is the project of an erasure whose record could not be read.
const unknown = 0

// Table is the records of erasures in a store.
type Table struct {
	DB   *pebble.DB
	Lost func(id uint64, err error) // receives what cannot be read
}

// Each calls do for each remembered erasure, oldest first. A record that cannot
// be read counts as an erasure that is not done and may be of anything. The
// next clean-up completes it, and therefore looks everywhere.
func (t Table) Each(do func(id uint64, e Record)) error { return t.each(t.DB, do) }

func (t Table) each(from reading.Reader, do func(id uint64, e Record)) error {
	return reading.Scan(from, []byte(format.PrefixErasure), func(key, record []byte) error {
		id := binary.BigEndian.Uint64(key)
		e, err := Decode(record)
		if err != nil {
			t.Lost(id, err)
			e = Record{Places: Places{Anywhere: true}}
		}
		do(id, e)
		return nil
	})
}

// Pending returns the erasures that are not done, as a snapshot or the database
// shows them.
func (t Table) Pending(from reading.Reader) (map[uint64]Record, error) {
	pending := make(map[uint64]Record)
	return pending, t.each(from, func(id uint64, e Record) {
		if e.Done == 0 {
			pending[id] = e
		}
	})
}

// List returns a project's erasures, newest first, and says which of the copies
// each of them waits for.
func (t Table) List(project uint32, copies []change.Copy) ([]query.Erasure, error) {
	var list []query.Erasure
	err := t.Each(func(id uint64, e Record) {
		if e.Project != project {
			return
		}
		of := query.Erasure{ID: id, Customer: e.Customer(), Asked: e.Asked, Done: e.Done}
		for _, c := range copies {
			if !c.Deletes && c.Has(project) {
				of.Undeletable = append(of.Undeletable, c.Name)
			}
		}
		if e.Done == 0 {
			of.WaitingFor = t.waitsFor(id, &e, copies)
		}
		list = append(list, of)
	})
	slices.Reverse(list)
	return list, err
}

// Cleaned notes that the files no longer hold what these erasures erased. An
// erasure is done if it waits for no copy. Cleaned returns the ids of those
// that are done, and forgets the oldest done erasures. next is the number of
// the next erasure, last is that of the last change, and at is the time.
func (t Table) Cleaned(pending map[uint64]Record, copies []change.Copy, next, last uint64, at trackway.Micros) (done []uint64, err error) {
	b := t.DB.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	for id, e := range pending {
		if e.Places.Anywhere { // its record is lost, and with it its change
			e.Change = last
		}
		after := e
		after.Clean, after.Places = cmp.Or(e.Clean, at), Places{Customers: e.Places.Customers}
		if len(t.waitsFor(id, &e, copies)) == 0 {
			after.Done = at
			after.Places.Customers = after.Places.Customers[:min(1, len(after.Places.Customers))]
			done = append(done, id)
		} else if e.Clean != 0 {
			continue
		}
		if err := b.Set(format.Key(nil).Erasure(id), Append(nil, after), nil); err != nil {
			return nil, err
		}
	}
	err = t.Each(func(id uint64, e Record) {
		if e.Done != 0 && id+MaxDone < next && e.Done < at-minTime {
			_ = b.Delete(format.Key(nil).Erasure(id), nil) // a batch in memory does not fail
		}
	})
	if err != nil || b.Empty() {
		return nil, err
	}
	return done, b.Commit(pebble.Sync)
}

// waitsFor returns the names of the copies that can delete what an erasure took
// away, and have not yet come to all changes that say so.
func (t Table) waitsFor(id uint64, e *Record, copies []change.Copy) (names []string) {
	through := uint64(0) // not known yet
	for _, c := range copies {
		if !c.Deletes || e.Project != unknown && !c.Has(e.Project) {
			continue
		}
		if through == 0 {
			through = t.through(id, e)
		}
		if c.Through < through {
			names = append(names, c.Name)
		}
	}
	return names
}

// through returns the number of the last change by which followers learn of an
// erasure. It may rise: if another customer's event was rewritten and that
// customer changes again, only the newer change tells of it.
func (t Table) through(id uint64, e *Record) uint64 {
	last := e.Change
	for _, c := range e.Places.Customers {
		number, err := reading.Rewritten(t.DB, e.Project, c)
		if err != nil {
			t.Lost(id, err)
		}
		last = max(last, number)
	}
	return last
}
