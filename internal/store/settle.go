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

// maxKept is the most timelines of other customers that a customer keeps. Each
// read of its events and each search for a duplicate walks all of them. The
// limit allows for a merge in which every customer keeps one.
const maxKept = 2*identity.MaxAbsorbed + 1

// settleRest is how long others have the store to themselves between two steps
// of merging timelines.
const settleRest = time.Millisecond

// crowdedError says that a command must wait: the customers that it names keep
// so many timelines that they would exceed maxKept as one customer. It names
// the one that keeps the most.
type crowdedError entry.Crowded

func (e *crowdedError) Error() string {
	return fmt.Sprintf("customer %d keeps %d timelines too many", e.Customer, e.Excess)
}

// crowded returns an error if the customers in t.found keep too many timelines,
// and otherwise nil. It assumes that all become one customer, and that none of
// their own timelines is short enough to move.
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
	// a command may name a customer by many identifiers
	seen := make(map[*identity.Holder]bool, len(t.found))
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
	// the rest are more customers than one command merges
	if kept <= t.m.mostKept || most.Absorbed < 2 {
		return nil
	}
	return &crowdedError{Project: project, Customer: most.Customer, Excess: kept - t.m.mostKept}
}

// settle reduces the number of timelines that a customer keeps, for a command
// that waits for it. It moves the entries of the shortest one to another one, a
// few during each hold of the lock. This never changes what readers see,
// neither between the steps nor after a crash: each entry is on one of the
// customer's timelines at any moment, and the order of events does not depend
// on which.
//
// The shortest timeline moves to one that is no shorter. So even under attack
// an entry moves no more often than its timeline can double: for a customer
// with a million events, at most 20 times.
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

// shortest returns the shortest of a customer's timelines, and another one: see
// [reading.Shortest].
func (s *Store) shortest(c *entry.Crowded) (from, to trackway.Customer, err error) {
	left := s.readers.Enter()
	defer left()
	v := s.db.NewSnapshot()
	from, to, err = reading.Shortest(v, c.Project, c.Customer)
	return from, to, errors.Join(err, v.Close())
}

// settle moves some entries from one timeline that a customer keeps to another
// one. A timeline without entries is no longer kept.
func (t *tx) settle(e *entry.Settle) error {
	e.More = false
	h, err := t.survivor(e.Project, e.Customer)
	if err != nil {
		return err
	}
	for _, owner := range []trackway.Customer{e.From, e.To} {
		kept, release, err := t.get(format.AbsorbedKey(h.Customer, owner))
		if err != nil || kept == nil {
			return err // another request has already done it
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

// survivor returns the customer that c is now, after all merges.
func (t *tx) survivor(project uint32, c trackway.Customer) (*identity.Holder, error) {
	h, err := t.holder(project, c)
	for err == nil && h.MergedInto != 0 {
		h, err = t.holder(project, h.MergedInto)
	}
	return h, err
}
