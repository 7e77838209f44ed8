package object

import (
	"context"
	"fmt"
	"slices"

	"trackway"
	"trackway/internal/destination"
)

// progress is what the attempts to write a batch have erased so far. An erasure
// may take longer than the time for one attempt, so the next attempt continues
// from here.
type progress struct {
	batch  *destination.Batch
	erased map[trackway.Customer]uint64 // rows before these changes are removed; nil: not known yet
	done   map[string]bool              // parts of events, and objects
}

// resume begins or continues the progress of a batch.
func (s *Sink) resume(b *destination.Batch) {
	if s.progress.batch != b {
		s.progress = progress{batch: b, done: map[string]bool{}}
	}
}

// rewrite replaces events in the objects that hold them. It leaves out an event
// that was never sent, because the destination began later or its configuration
// has changed. Each object is one commit that does not move the position, so a
// crash loses nothing: the batch comes again.
func (s *Sink) rewrite(ctx context.Context, list []destination.Event) error {
	parts, byPart := byDay(list)
	for _, part := range parts {
		if s.progress.done[part] {
			continue
		}
		if err := s.rewritePart(ctx, part, byPart[part]); err != nil {
			return err
		}
		s.progress.done[part] = true
	}
	return nil
}

// byDay groups events by their parts, in the order of the parts' first events.
func byDay(list []destination.Event) (parts []string, byPart map[string]map[uint64]*destination.Event) {
	byPart = map[string]map[uint64]*destination.Event{}
	for i := range list {
		part := dayOf(list[i].Received)
		if byPart[part] == nil {
			byPart[part] = map[uint64]*destination.Event{}
			parts = append(parts, part)
		}
		byPart[part][list[i].Seq] = &list[i]
	}
	return parts, byPart
}

func (s *Sink) rewritePart(ctx context.Context, part string, bySeq map[uint64]*destination.Event) error {
	t := s.tables[events]
	m, err := s.manifestOf(ctx, t, part)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for seq := range bySeq {
		if e := m.holding(seq); e != nil {
			names[e.Name] = true
		}
	}
	there, err := s.there(ctx, t.name+"/"+part+"/")
	if err != nil {
		return err
	}
	for _, e := range slices.Clone(m.Objects) {
		if !names[e.Name] || !there[e.Name] || s.progress.done[e.Name] { // an operator may remove past days
			continue
		}
		if err := s.edit(ctx, t, part, &e, func(r row) row {
			if changed, ok := bySeq[t.keyOf(r)]; ok {
				return eventRow(r, changed)
			}
			return r
		}); err != nil {
			return err
		}
		s.progress.done[e.Name] = true
	}
	return nil
}

// there lists the objects of a folder.
func (s *Sink) there(ctx context.Context, folder string) (map[string]bool, error) {
	names := map[string]bool{}
	err := s.bucket.List(ctx, folder, func(name string) bool {
		names[name] = true
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", folder, err)
	}
	return names, nil
}

// edit writes an object again. with returns the new form of a row, or nil to
// remove it.
func (s *Sink) edit(ctx context.Context, t *table, part string, e *entry, with func(r row) row) error {
	c := change{t: t, part: part, name: e.Name, was: e, room: e.Room, build: func(old rows, m *maker) error {
		return old(func(r row) error {
			if r = with(r); r == nil {
				return nil
			}
			return m.keep(r)
		})
	}}
	return s.commit(ctx, []change{c}, func(*state) {})
}

// purge removes the earlier rows of customers that a batch reports as erased,
// and of customers that they had absorbed, from customers and customer_ids. It
// reads both tables, because nothing says where a customer's rows are. An index
// would make every batch more expensive, and erasures are rare.
func (s *Sink) purge(ctx context.Context, batch []destination.Customer) error {
	if s.progress.erased == nil {
		erased, err := s.erasedBy(ctx, batch)
		if err != nil {
			return err
		}
		s.progress.erased = erased
	}
	if len(s.progress.erased) == 0 {
		return nil
	}
	for _, t := range []*table{s.tables[customers], s.tables[customerIDs]} {
		err := s.eachObject(ctx, t, func(part string, e *entry) error {
			if s.progress.done[e.Name] {
				return nil
			}
			err := s.purgeObject(ctx, t, part, e)
			s.progress.done[e.Name] = err == nil
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// purgeObject removes the rows of erased customers from an object.
func (s *Sink) purgeObject(ctx context.Context, t *table, part string, e *entry) error {
	personal := func(r row) bool {
		before, ok := s.progress.erased[trackway.Customer(r[0].Int)]
		return ok && t.keyOf(r) < before
	}
	found, err := s.contains(ctx, t, e, personal)
	if err != nil || !found {
		return err
	}
	return s.edit(ctx, t, part, e, func(r row) row {
		if personal(r) {
			return nil
		}
		return r
	})
}

// erasedBy returns the customers that a batch reports as erased, and those that
// they had absorbed. For each, it returns the change before which rows are
// removed.
func (s *Sink) erasedBy(ctx context.Context, batch []destination.Customer) (map[trackway.Customer]uint64, error) {
	erased := map[trackway.Customer]uint64{}
	for i := range batch {
		if batch[i].Erased {
			erased[batch[i].Customer] = batch[i].Changed
		}
	}
	if len(erased) == 0 {
		return erased, nil
	}
	return erased, s.absorbed(ctx, batch, erased)
}

// absorbed adds the customers that the erased ones have absorbed, directly or
// indirectly.
func (s *Sink) absorbed(ctx context.Context, batch []destination.Customer, erased map[trackway.Customer]uint64) error {
	add := func(customer, survivor trackway.Customer) {
		if before, ok := erased[survivor]; ok {
			erased[customer] = max(before, erased[customer])
		}
	}
	t := s.tables[customerMap]
	for known := 0; known < len(erased); { // until a pass finds no more
		known = len(erased)
		for i := range batch {
			if batch[i].Survivor != 0 {
				add(batch[i].Customer, batch[i].Survivor)
			}
		}
		err := s.eachObject(ctx, t, func(_ string, e *entry) error {
			_, err := s.contains(ctx, t, e, func(r row) bool {
				add(trackway.Customer(r[0].Int), trackway.Customer(r[1].Int))
				return false
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachObject calls with for the objects of a table that have rows.
func (s *Sink) eachObject(ctx context.Context, t *table, with func(part string, e *entry) error) error {
	parts, err := s.parts(ctx, t)
	if err != nil {
		return err
	}
	for _, part := range parts {
		m, err := s.manifestOf(ctx, t, part)
		if err != nil {
			return err
		}
		for _, e := range slices.Clone(m.Objects) {
			if e.Rows == 0 {
				continue
			}
			if err := with(part, &e); err != nil {
				return err
			}
		}
	}
	return nil
}

// contains reports whether an object has a row with a property.
func (s *Sink) contains(ctx context.Context, t *table, e *entry, property func(r row) bool) (found bool, err error) {
	data, _, err := s.old(ctx, &change{t: t, name: e.Name, was: e})
	if err != nil {
		return false, err
	}
	err = s.decode(t, data, func(r row) bool {
		found = property(r)
		return !found
	})
	return found, err
}
