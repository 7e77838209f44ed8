package follow

import (
	"math"
	"sort"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/reading"
	"trackway/internal/store/recent"
)

// Holds says which events must not expire yet, because a follower has not
// received them. It also counts the events that destinations miss. It is not
// safe for concurrent use.
type Holds struct {
	Lowest uint64 // no event behind it may expire, whenever it was received; [change.NoCursor]: there is no such number

	bounded []change.Copy // Through is the cursor of the store
	copies  []change.Copy
	missed  [][]uint64 // by copy: sequence numbers, ascending

	from      pebble.Reader
	rewritten map[trackway.Customer]uint64 // numbers of changes; those that were looked up
}

// NewHolds returns the holds of all cursors of the store. The bounds are those
// of the copies.
func NewHolds(from pebble.Reader, copies []change.Copy) (*Holds, error) {
	h := &Holds{
		Lowest: change.NoCursor, copies: copies, missed: make([][]uint64, len(copies)),
		from: from, rewritten: make(map[trackway.Customer]uint64),
	}
	cursors, err := Cursors(from)
	if err != nil {
		return nil, err
	}
	for _, c := range copies {
		number, ok := cursors[c.Cursor]
		if ok && c.Bound > math.MinInt64 {
			c.Through = number
			h.bounded = append(h.bounded, c)
			delete(cursors, c.Cursor)
		}
	}
	for _, number := range cursors {
		h.Lowest = min(h.Lowest, number)
	}
	return h, nil
}

// Release reports whether an event that is too old may expire. If it may, it is
// noted for the destinations that do not have it. Cost: if a destination has
// the event and can delete, a few look-ups for each customer.
func (h *Holds) Release(e *trackway.Event) bool {
	for i := range h.bounded {
		if c := &h.bounded[i]; e.Seq > c.Through && e.Received >= c.Bound && c.Wants(e) {
			return false
		}
	}
	if h.unheard(e) {
		return false
	}
	for i := range h.copies {
		if c := &h.copies[i]; e.Seq > c.Through && c.Wants(e) {
			h.missed[i] = append(h.missed[i], e.Seq)
		}
	}
	return true
}

// unheard reports whether an erasure may have rewritten an event, and a
// destination that has the old form has not come to the change that says so.
// That change makes it read the events of the customer again. If the event were
// gone by then, the destination would keep what was erased.
func (h *Holds) unheard(e *trackway.Event) bool {
	for i := range h.copies {
		if c := &h.copies[i]; c.Deletes && c.Has(e.Project) && e.Seq <= c.Through && c.Through < h.rewrittenAt(e) {
			return true
		}
	}
	return false
}

// rewrittenAt returns the number of the change by which followers learn that
// events of an event's customer were rewritten. If it cannot be read, it may be
// any number.
func (h *Holds) rewrittenAt(e *trackway.Event) uint64 {
	number, known := h.rewritten[e.Customer]
	if !known {
		var err error
		if number, err = reading.Rewritten(h.from, e.Project, e.Customer); err != nil {
			number = change.NoCursor
		}
		h.rewritten[e.Customer] = number
	}
	return number
}

// Missed calls do for each destination that misses events, with the number of
// them. It counts the events noted up to a sequence number.
func (h *Holds) Missed(through uint64, do func(name string, events int)) {
	for i, seqs := range h.missed {
		if n := sort.Search(len(seqs), func(i int) bool { return seqs[i] > through }); n > 0 {
			do(h.copies[i].Name, n)
		}
	}
}

// Copies are the destinations of a store, once it has learned of them. The zero
// value has none. It is safe for concurrent use.
type Copies struct{ of atomic.Pointer[change.Copies] }

// Set tells of the destinations.
func (c *Copies) Set(of change.Copies) { c.of.Store(&of) }

// List implements [change.Copies].
func (c *Copies) List() []change.Copy {
	if of := c.of.Load(); of != nil {
		return (*of).List()
	}
	return nil
}

// Missed implements [change.Copies].
func (c *Copies) Missed(name string, events int) {
	if of := c.of.Load(); of != nil {
		(*of).Missed(name, events)
	}
}

// Expired returns what is known of a project's events that have expired.
func (f *Feed) Expired(project uint32) (change.Expiry, error) {
	latest, err := recent.Latest(f.from, project, 0)
	return latest.Expired, err
}

// Rewritten returns the number of the change by which followers learn that
// events of a customer were rewritten, or 0 if none were.
func (f *Feed) Rewritten(project uint32, c trackway.Customer) (uint64, error) {
	return reading.Rewritten(f.from, project, c)
}
