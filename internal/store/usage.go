package store

import (
	"errors"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/query"
	"trackway/internal/store/counts"
)

// Refused counts commands of a project that were refused before they reached
// the store. The count becomes durable with the next durable change, so a crash
// may lose the latest refusals.
func (s *Store) Refused(project uint32, at trackway.Micros, n int) error {
	return s.log.Append(&entry.Refused{Project: project, At: at, Commands: uint64(n)})
}

// refusedOne is a command that was refused.
var refusedOne = query.Usage{Refused: 1}

// count records the outcome of a command.
func (t *tx) count(c *trackway.Command, r *trackway.Result) {
	var one query.Usage
	switch {
	case r.Err != nil:
		one = refusedOne
	case c.Kind != trackway.AddEvent:
		return
	case r.Duplicate:
		one.Duplicate = 1
	default:
		one.Stored = 1
	}
	t.m.usage.Add(c.Project, c.Received, one)
}

// recount counts the events in the log that an earlier process had counted only
// in memory. It records an event that cannot be read and leaves it out, since
// incomplete counts are better than no server.
func (s *Store) recount() error {
	counted := s.counts.Load(s.nextSeq - 1)
	var err error
	return errors.Join(s.eachEvent(counted+1, s.nextSeq, func(e *trackway.Event) bool {
		s.counts.Again(counts.Of(e))
		if s.counts.Due() {
			err = s.counts.Save()
		}
		return err == nil
	}), err)
}
