package object

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"trackway/internal/destination"
)

var errUnprepared = errors.New("the destination is not prepared")

// Write writes a batch. It leaves out rows up to the position, because they are
// already here. Every row fits, so there are no rejects.
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	if s.state == nil {
		return nil, errUnprepared
	}
	s.resume(b)
	err := s.guard(s.write(ctx, b))
	if err == nil {
		s.progress = progress{}
	}
	return nil, err
}

func (s *Sink) write(ctx context.Context, b *destination.Batch) error {
	base := s.state.Number
	switch {
	case s.state.Store == "":
		base = b.After // the first batch begins where the configuration says
	case s.state.Store != b.Store:
		return final("this place belongs to the store %s, and these changes belong to the store %s", s.state.Store, b.Store)
	case b.After > base:
		return fmt.Errorf("the changes from %d to %d are missing", base+1, b.After)
	}
	if err := s.rewrite(ctx, b.Rewritten); err != nil {
		return err
	}
	if err := s.purge(ctx, b.Customers); err != nil {
		return err
	}
	if err := s.replay(ctx, b, base); err != nil {
		return err
	}
	changes, err := s.plan(ctx, b, max(base, s.state.High))
	if err != nil {
		return err
	}
	number := max(base, b.Through)
	if len(changes) == 0 && s.state.Store == b.Store && s.state.Number == number {
		return nil
	}
	return s.commit(ctx, changes, func(st *state) { st.Store, st.Number = b.Store, number })
}

// group is the new rows of a part.
type group struct {
	t           *table
	part        string
	events      []*destination.Event // of the table events
	rows        []row                // of others
	first, last uint64
	weight      int
}

// plan decides which objects a batch changes.
func (s *Sink) plan(ctx context.Context, b *destination.Batch, base uint64) ([]change, error) {
	var changes []change
	for _, g := range s.groups(b, base, math.MaxUint64) {
		m, err := s.manifestOf(ctx, g.t, g.part)
		if err != nil {
			return nil, err
		}
		if g.t == s.tables[erasures] {
			changes = append(changes, s.upsert(m, g))
			continue
		}
		c := s.place(m, g, base, max(base, b.Through))
		c.build = func(old rows, m *maker) error {
			if err := old.addTo(m); err != nil {
				return err
			}
			return g.addTo(m)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// groups divides the rows of a batch by parts, and keeps their order. It takes
// rows with numbers above base up to limit, and erasures.
func (s *Sink) groups(b *destination.Batch, base, limit uint64) []*group {
	var all []*group
	latest := map[*table]*group{}
	in := func(t *table, part string, key uint64, weight int) *group {
		g := latest[t]
		if g == nil || g.part != part {
			i := slices.IndexFunc(all, func(g *group) bool { return g.t == t && g.part == part })
			if i < 0 {
				all = append(all, &group{t: t, part: part, first: key})
				i = len(all) - 1
			}
			g = all[i]
			latest[t] = g
		}
		g.last = max(g.last, key)
		g.weight += weight
		return g
	}
	var part string // of the event before
	var partDay int64
	for i := range b.Events {
		e := &b.Events[i]
		if e.Seq <= base || e.Seq > limit {
			continue
		}
		if n := int64(e.Received) / day; n != partDay || part == "" {
			part, partDay = dayOf(e.Received), n
		}
		t := s.tables[events]
		g := in(t, part, e.Seq, 8*len(t.fields)+t.wide+len(e.Project)+len(e.Type)+len(e.Properties))
		g.events = append(g.events, e)
	}
	add := func(table int, r row) {
		t := s.tables[table]
		g := in(t, t.partOf(r), t.keyOf(r), t.weight(r))
		g.rows = append(g.rows, r)
	}
	for i := range b.Customers {
		if c := &b.Customers[i]; base < c.Changed && c.Changed <= limit {
			customerRows(c, add)
		}
	}
	for i := range b.Erasures {
		add(erasures, erasureRow(&b.Erasures[i]))
	}
	return all
}

func (g *group) addTo(m *maker) error {
	var r row
	for _, e := range g.events {
		r = eventRow(r, e)
		if err := m.add(r); err != nil {
			return err
		}
	}
	for _, r := range g.rows {
		if err := m.add(r); err != nil {
			return err
		}
	}
	return nil
}

// place decides which object gets a group's rows: the last one, if it has room
// and rewriting it costs little, or a new one.
func (s *Sink) place(m *manifest, g *group, base, through uint64) change {
	c := change{t: g.t, part: g.part, room: base + reserve}
	limit, small := full, g.weight < full/4
	if s.appends() {
		limit, small = full, true
	}
	if last := m.last(); small && last != nil && g.last <= last.Room && last.Weight+g.weight <= limit {
		c.name, c.was, c.room, c.grow = last.Name, last, last.Room, true
		return c
	}
	if !small {
		c.room = through
	}
	c.name = fmt.Sprintf("%s/%s/seq=%020d-%020d%s", g.t.name, g.part, base+1, c.room, s.format.ending())
	c.was = m.find(c.name) // an empty object, from a write that failed
	return c
}

// appends reports whether objects grow in place.
func (s *Sink) appends() bool {
	_, ok := s.bucket.(Appender)
	return ok && s.format.joins()
}

// last returns the object with the highest keys, or nil.
func (m *manifest) last() *entry {
	for i := len(m.Objects) - 1; i >= 0; i-- {
		if m.Objects[i].Rows > 0 {
			return &m.Objects[i]
		}
	}
	return nil
}

// upsert returns the change that writes erasures. All erasures of a part are in
// one object, since there are few. The latest state of an erasure replaces its
// row.
func (s *Sink) upsert(m *manifest, g *group) change {
	first := g.first / partNumbers * partNumbers
	name := fmt.Sprintf("%s/%s/seq=%020d-%020d%s", g.t.name, g.part, first, first+partNumbers-1, s.format.ending())
	return change{
		t: g.t, part: g.part, name: name, was: m.find(name), room: first + partNumbers - 1,
		build: func(old rows, m *maker) error {
			byKey := map[uint64]row{}
			if err := old(func(r row) error {
				byKey[g.t.keyOf(r)] = slices.Clone(r)
				return nil
			}); err != nil {
				return err
			}
			for _, r := range g.rows {
				byKey[g.t.keyOf(r)] = r
			}
			return addSorted(m, byKey)
		},
	}
}
