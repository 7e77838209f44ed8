package object

import (
	"context"
	"fmt"
	"slices"

	"trackway/internal/destination"
)

// replay writes the rows of a batch that may already be here because of a
// rewind. Each row replaces the one with the same number. It does not move the
// position, so a crash loses nothing: the batch comes again.
func (s *Sink) replay(ctx context.Context, b *destination.Batch, base uint64) error {
	if base >= s.state.High {
		return nil
	}
	for _, g := range s.groups(b, base, s.state.High) {
		if g.t == s.tables[erasures] {
			continue
		}
		if err := s.replayGroup(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) replayGroup(ctx context.Context, g *group) error {
	for i := range g.events {
		g.rows = append(g.rows, eventRow(nil, g.events[i]))
	}
	m, err := s.manifestOf(ctx, g.t, g.part)
	if err != nil {
		return err
	}
	objects := slices.DeleteFunc(slices.Clone(m.Objects), func(e entry) bool { return e.Rows == 0 })
	if len(objects) == 0 {
		name := fmt.Sprintf("%s/%s/seq=%020d-%020d%s", g.t.name, g.part, g.first, g.last, s.format.ending())
		c := change{t: g.t, part: g.part, name: name, was: m.find(name), room: g.last, build: func(_ rows, m *maker) error { return addAll(m, g.rows) }}
		return s.commit(ctx, []change{c}, func(*state) {})
	}
	// An object gets the rows up to the next object's first number. The first
	// object also gets earlier rows.
	left := g.rows
	for i := range objects {
		n := len(left)
		if i+1 < len(objects) {
			n = 0
			for n < len(left) && g.t.keyOf(left[n]) < objects[i+1].First {
				n++
			}
		}
		mine := left[:n]
		left = left[n:]
		if len(mine) == 0 {
			continue
		}
		if objects[i].Weight > 4*full {
			return final("%s is full: if more events are selected than before, use another place", objects[i].Name)
		}
		e := &objects[i]
		c := change{
			t: g.t, part: g.part, name: e.Name, was: e, room: e.Room, gone: true, // an operator may remove past days
			build: func(old rows, m *maker) error { return merge(old, mine, m) },
		}
		if err := s.commit(ctx, []change{c}, func(*state) {}); err != nil {
			return err
		}
	}
	return nil
}

// merge adds old and new rows in the order of their keys. A new row replaces an
// old one with the same key.
func merge(old rows, fresh []row, m *maker) error {
	keys := map[uint64]bool{}
	for _, r := range fresh {
		keys[m.t.keyOf(r)] = true
	}
	next := 0
	addUpTo := func(key uint64) error {
		first := next
		for next < len(fresh) && m.t.keyOf(fresh[next]) <= key {
			next++
		}
		return addAll(m, fresh[first:next])
	}
	err := old(func(r row) error {
		key := m.t.keyOf(r)
		if err := addUpTo(key); err != nil || keys[key] {
			return err
		}
		return m.keep(r)
	})
	if err != nil {
		return err
	}
	return addAll(m, fresh[next:])
}

func addAll(m *maker, list []row) error {
	for _, r := range list {
		if err := m.add(r); err != nil {
			return err
		}
	}
	return nil
}
