package store

import (
	"errors"
	"fmt"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/prepared"
)

// Apply carries out the commands in order and stores their outcomes in results,
// which must be as long as cmds. It returns once everything is on the disk. A
// command may be refused (see Err in its result) without affecting the others.
// Each command sees the effects of all earlier ones, of all callers. No reader
// sees half a command. A command of the kind [trackway.Nothing] is only
// counted, if it has a project, and its result stays as it is.
//
// An error means a fault of ours, above all a damaged store. Then results mean
// nothing, and the commands may or may not be stored.
//
// REQUIRES: the commands are valid, as internal/ingest checks.
func (s *Store) Apply(cmds []trackway.Command, results []trackway.Result) error {
	all := len(cmds)
	p := prepared.Get()
	key := s.key.Load()
	contents, taken := s.prepared.Contents(p, cmds, &s.cache, key)
	defer s.prepared.Free(taken)
	for len(cmds) > 0 {
		r := &p.Entry.Requests[0]
		*r = entry.Request{Commands: cmds, Contents: contents, Keyed: key != nil, Results: results}
		if err := s.log.Append(&p.Entry); err != nil {
			return fmt.Errorf("apply %d commands: %w", all, err)
		}
		s.counts.SaveSoon()
		if contents != nil {
			contents = contents[r.Done:]
		}
		cmds, results = cmds[r.Done:], results[r.Done:]
		if err := s.settle(r.Crowded); err != nil {
			return fmt.Errorf("make timelines fewer: %w", err)
		}
	}
	p.Put()
	return nil
}

// commands carries out the commands of requests. It stops when they have kept
// others waiting for long enough.
func (t *tx) commands(e *entry.Commands) error {
	for i := range e.Requests {
		e.Requests[i].Done, e.Requests[i].Crowded = 0, nil
	}
	for i := range e.Requests {
		if t.moved >= t.m.mostMoved {
			break
		}
		if err := t.request(&e.Requests[i]); err != nil {
			return err
		}
	}
	return nil
}

// request carries out the commands of a request. It stops at a command that has
// to wait, or once the work under the lock reaches its limit. The rest goes
// into another entry, after the other requests, so a request with many large
// merges delays only itself.
func (t *tx) request(r *entry.Request) error {
	for r.Done < len(r.Commands) && t.moved < t.m.mostMoved {
		c := &r.Commands[r.Done]
		if c.Kind == trackway.Nothing {
			if c.Project != 0 {
				t.touch(c.Project)
				t.m.usage.Add(c.Project, c.Received, refusedOne)
			}
			r.Done++
			continue
		}
		t.touch(c.Project)
		result, err := t.command(c, prepared.Next(r, t.m.key.Load()))
		if crowded, ok := errors.AsType[*crowdedError](err); ok {
			r.Crowded = (*entry.Crowded)(crowded)
			return nil
		} else if err != nil {
			return err
		}
		r.Results[r.Done] = result
		t.count(c, &result)
		r.Done++
	}
	return nil
}
