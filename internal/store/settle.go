package store

import (
	"errors"
	"fmt"
	"time"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/store/cache"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// maxKept is how many timelines of others a customer keeps, at most: whoever
// reads its events or looks for a duplicate walks all of them. It is no less
// than what the customers of one merge have if each of them keeps one.
const maxKept = 2*identity.MaxAbsorbed + 1

// settleRest is for how long others have the store for themselves between two
// steps that make timelines fewer.
const settleRest = time.Millisecond

// crowdedError says that a command has to wait: the customers that it names
// keep so many timelines that, as one customer, they would keep too many. It
// names the one of them that keeps the most.
type crowdedError entry.Crowded

func (e *crowdedError) Error() string {
	return fmt.Sprintf("customer %d keeps %d timelines too many", e.Customer, e.Excess)
}

// crowded tells whether those whom the command names, in t.found, keep too many
// timelines, nil if not. It counts as if all were to become one, and none of
// their own timelines were short enough to move.
func (t *tx) crowded(project uint32) *crowdedError {
	kept := -1 // the survivor's own does not count
	for _, h := range t.found {
		if h != nil {
			kept += 1 + h.Absorbed
		}
	}
	if kept <= t.m.mostKept {
		return nil
	}
	var most *identity.Holder
	kept = -1
	seen := make(map[*identity.Holder]bool, len(t.found)) // a command may name a customer by many identifiers
	for _, h := range t.found {
		if h == nil || seen[h] {
			continue
		}
		seen[h] = true
		kept += 1 + h.Absorbed
		if most == nil || h.Absorbed > most.Absorbed {
			most = h
		}
	}
	if kept <= t.m.mostKept || most.Absorbed < 2 { // there are more customers than one command merges
		return nil
	}
	return &crowdedError{Project: project, Customer: most.Customer, Excess: kept - t.m.mostKept}
}

// settle makes the timelines that a customer keeps fewer, for a command that
// waits for it: the entries of the shortest move to another one, a few under
// each hold of the lock. Nothing that can be read changes by that, neither
// between the steps nor where a crash ends them: an entry is on one of the
// customer's timelines at any moment, and the order of events does not depend
// on which.
//
// The shortest moves to one that is no shorter, so that whatever a stranger
// does, an entry moves no more often than its timeline can double: of a
// customer's million events, each 20 times at most.
func (s *Store) settle(c *entry.Crowded) error {
	if c == nil {
		return nil
	}
	for range c.Excess {
		from, to, err := s.shortest(c)
		if err != nil {
			return err
		}
		e := entry.Settle{Project: c.Project, Customer: c.Customer, From: from, To: to, More: from != 0}
		for e.More {
			if err := s.log.Append(&e); err != nil {
				return err
			}
			if e.More {
				time.Sleep(settleRest) //nolint:forbidigo // lets others in; a second of it is 200 000 entries
			}
		}
	}
	return nil
}

// shortest returns the shortest of the timelines that a customer keeps, and
// another one: see [reading.Shortest].
func (s *Store) shortest(c *entry.Crowded) (from, to trackway.Customer, err error) {
	left := s.readers.Enter()
	defer left()
	v := s.db.NewSnapshot()
	from, to, err = reading.Shortest(v, c.Project, c.Customer)
	return from, to, errors.Join(err, v.Close())
}

// settle moves some entries from one timeline that a customer keeps to another.
// A timeline that has none left is kept no longer.
func (t *tx) settle(e *entry.Settle) error {
	e.More = false
	h, err := t.survivor(e.Project, e.Customer)
	if err != nil {
		return err
	}
	for _, owner := range []trackway.Customer{e.From, e.To} {
		kept, release, err := t.get(format.AbsorbedKey(h.Customer, owner))
		if err != nil || kept == nil {
			return err // another request was faster
		}
		if err := release(); err != nil {
			return err
		}
	}
	whole, err := t.readEntries(e.From, t.m.mostMoved)
	if err != nil {
		return err
	}
	if err := t.moveEntries(e.To, e.From); err != nil {
		return err
	}
	if whole {
		h.Absorbed--
		if err := t.b.Delete(format.AbsorbedKey(h.Customer, e.From), nil); err != nil {
			return err
		}
		t.changed.Add(e.Project, h, cache.Unseen, true)
	}
	e.More = !whole
	return nil
}

// survivor returns who a customer is now.
func (t *tx) survivor(project uint32, c trackway.Customer) (*identity.Holder, error) {
	h, err := t.holder(project, c)
	for err == nil && h.MergedInto != 0 {
		h, err = t.holder(project, h.MergedInto)
	}
	return h, err
}
