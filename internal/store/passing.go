package store

import (
	"fmt"

	"trackway"
	"trackway/internal/store/damage"
	"trackway/internal/store/reading"
)

// eachEvent calls do for the events of the log from a sequence number up to, not including, another, in order, until do returns
// false. The event is valid only during the call.
//
// What cannot be read is noted and passed over: one event that is lost must not keep those behind it from being counted at an opening,
// or from expiring.
func (s *Store) eachEvent(from, to uint64, do func(*trackway.Event) bool) error {
	return reading.Log(s.db, from, to, s.noteEvent, do)
}

// noteEvent notes an event that cannot be read, or found in a timeline.
func (m *machine) noteEvent(seq uint64, err error) {
	m.damaged.Note(damage.Event, fmt.Sprintf("event %d", seq), err)
}
