package store

import (
	"fmt"
	"slices"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/store/cache"
	"trackway/internal/store/damage"
	"trackway/internal/store/follow"
	"trackway/internal/store/reading"
	"trackway/internal/store/recent"
)

// eachEvent calls do for the events of the log from a sequence number up to,
// but not including, another one, in order, until do returns false. The event
// is valid only during the call.
//
// It records and skips what cannot be read: one lost event must not keep later
// ones from being counted at an opening, or from expiring.
func (m *machine) eachEvent(from, to uint64, do func(*trackway.Event) bool) error {
	return reading.Log(m.db, from, to, m.noteEvent, do)
}

// noteEvent records an event or other change that cannot be read, or an event
// that is missing in a timeline.
func (m *machine) noteEvent(seq uint64, err error) {
	m.damaged.Note(damage.Event, fmt.Sprintf("event %d", seq), err)
}

// stageChanges stages a change for each changed customer, and for each project
// with expired events. It gives them the next numbers.
func (t *tx) stageChanges() error {
	changed := t.changed.All()
	if len(changed)+len(t.expired) == 0 {
		return nil
	}
	t.m.stageInto(&t.feed, t.b, t.nextSeq)
	for _, c := range changed {
		if c.Kind == cache.Unseen {
			continue
		}
		if err := t.feed.Add(change.Change{Kind: c.Kind, Project: c.Project, Customer: c.Customer}); err != nil {
			return err
		}
	}
	for i := range t.expired {
		if err := t.feed.Add(t.expired[i]); err != nil {
			return err
		}
	}
	t.nextSeq = t.feed.Next
	return nil
}

// stageInto prepares a stager to stage changes in a batch, starting with the
// number next. REQUIRES: the lock is held.
func (m *machine) stageInto(st *recent.Stager, b recent.Writer, next uint64) {
	st.From, st.Batch, st.Next, st.New = m.db, b, next, m.nextCustomer
	if st.Lost == nil {
		st.Lost = func(what string, err error) { m.damaged.Note(damage.Event, what, err) }
	}
}

// noteExpired records that an event is removed because of its age.
func (t *tx) noteExpired(e *trackway.Event) {
	i := slices.IndexFunc(t.expired, func(c change.Change) bool { return c.Project == e.Project })
	if i < 0 {
		i = len(t.expired)
		t.expired = append(t.expired, change.Change{Kind: change.Expired, Project: e.Project})
	}
	sum := &t.expired[i].Expired
	sum.Events, sum.Highest = sum.Events+1, max(sum.Highest, e.Seq)
}

// SetCursor stores a follower's position under a name; [change.NoCursor]
// removes the name. No event beyond the lowest cursor expires. SetCursor does
// not wait for the disk: after a crash the cursor may be at an earlier
// position, and its owner gets the later changes again. A number above that of
// the last change is stored as the last one, so that no change is missed.
func (s *Store) SetCursor(name string, number uint64) error {
	return s.log.Append(&entry.Cursor{Name: name, Number: number})
}

// Cursors returns the positions of all cursors by name.
func (s *Store) Cursors() (map[string]uint64, error) { return follow.Cursors(s.db) }

// SetNotes keeps notes, if it is the appender's turn.
func (s *Store) SetNotes(e *entry.Notes) error { return s.log.Append(e) }

// Notes returns the notes whose names begin with a prefix.
func (s *Store) Notes(prefix string) (map[string][]byte, error) { return follow.Notes(s.db, prefix) }
