package object

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"trackway/internal/destination"
)

// Events reads the events of all objects below events/, whether or not a
// manifest names them, like a reader of all names. So it finds rows that
// somebody has added. An object that cannot be read counts as empty.
func (s *Sink) Events(ctx context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	if s.state == nil {
		return errUnprepared
	}
	sources, err := s.sources(ctx, low, high)
	if err != nil {
		return err
	}
	// Objects of a day follow each other, and those of two days overlap only
	// around midnight. So few are open at the same time.
	var open []destination.Event
	for i := 0; i < len(sources) || len(open) > 0; {
		for i < len(sources) && (len(open) == 0 || sources[i].first <= open[0].Seq) {
			more, err := s.eventsOf(ctx, sources[i].name, low, high)
			if err != nil {
				return err
			}
			open = append(open, more...)
			slices.SortStableFunc(open, func(a, b destination.Event) int { return cmp.Compare(a.Seq, b.Seq) })
			i++
		}
		if len(open) == 0 {
			continue
		}
		if !yield(&open[0]) {
			return nil
		}
		open = open[1:]
	}
	return nil
}

// source is an object that may have events of a range.
type source struct {
	name  string
	part  string
	first uint64
	entry *entry // nil: no manifest names it
}

// sources lists the objects that may have events of a range, by their first
// event.
func (s *Sink) sources(ctx context.Context, low, high uint64) ([]source, error) {
	// A verification asks for one range after another, and needs only one list.
	if s.seen == nil || low <= s.seenLow {
		all, err := s.allSources(ctx)
		if err != nil {
			return nil, err
		}
		s.seen = all
	}
	s.seenLow = low
	var in []source
	for _, src := range s.seen {
		if src.entry == nil || src.entry.First < high && src.entry.Last >= low {
			in = append(in, src)
		}
	}
	return in, nil
}

func (s *Sink) allSources(ctx context.Context) ([]source, error) {
	t := s.tables[events]
	all := []source{}
	listed := map[string]bool{s.seedName(t): true}
	err := s.eachObject(ctx, t, func(part string, e *entry) error {
		listed[e.Name] = true
		all = append(all, source{name: e.Name, part: part, first: e.First, entry: e})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.bucket.List(ctx, t.name+"/", func(name string) bool {
		if !listed[name] && strings.HasSuffix(name, s.format.ending()) {
			part, _, _ := strings.Cut(strings.TrimPrefix(name, t.name+"/"), "/")
			all = append(all, source{name: name, part: part}) // whatever its name says
		}
		return true
	})
	slices.SortStableFunc(all, func(a, b source) int { return cmp.Compare(a.first, b.first) })
	return all, err
}

// eventsOf returns an object's events of a range.
func (s *Sink) eventsOf(ctx context.Context, name string, low, high uint64) ([]destination.Event, error) {
	data, _, err := s.bucket.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	var found []destination.Event
	_ = s.decode(s.tables[events], data, func(r row) bool { // what can be read counts
		if seq := uint64(r[0].Int); low <= seq && seq < high {
			found = append(found, eventOf(r))
		}
		return true
	})
	return found, nil
}

// Mend rewrites objects that have the wrong events in the range. It removes
// objects with events of the range that no manifest names.
func (s *Sink) Mend(ctx context.Context, low, high uint64, list []destination.Event) error {
	if s.state == nil {
		return errUnprepared
	}
	if s.visits() {
		return final("this place belongs to the store %s", s.state.Store)
	}
	return s.guard(s.mend(ctx, low, high, list))
}

func (s *Sink) mend(ctx context.Context, low, high uint64, list []destination.Event) error {
	list = slices.Clone(list)
	list = slices.DeleteFunc(list, func(e destination.Event) bool { return e.Seq > s.state.limit() }) // they will come
	sources, err := s.sources(ctx, low, high)
	if err != nil {
		return err
	}
	byPart := map[string][]destination.Event{}
	parts := []string{}
	for _, e := range list {
		part := dayOf(e.Received)
		if byPart[part] == nil {
			parts = append(parts, part)
		}
		byPart[part] = append(byPart[part], e)
	}
	for _, src := range sources {
		if src.entry == nil {
			if err := s.removeForeign(ctx, src.name, low, high); err != nil {
				return err
			}
			continue
		}
		if byPart[src.part] == nil {
			parts = append(parts, src.part)
			byPart[src.part] = []destination.Event{}
		}
	}
	for _, part := range parts {
		if err := s.mendPart(ctx, part, low, high, byPart[part]); err != nil {
			return err
		}
	}
	return nil
}

// removeForeign removes an object that no manifest names if it has events of
// the range.
func (s *Sink) removeForeign(ctx context.Context, name string, low, high uint64) error {
	found, err := s.eventsOf(ctx, name, low, high)
	if err != nil || len(found) == 0 {
		return err
	}
	if err := s.bucket.Delete(ctx, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// mendPart makes the objects of a part hold exactly these events in the range.
func (s *Sink) mendPart(ctx context.Context, part string, low, high uint64, list []destination.Event) error {
	t := s.tables[events]
	m, err := s.manifestOf(ctx, t, part)
	if err != nil {
		return err
	}
	objects := slices.DeleteFunc(slices.Clone(m.Objects), func(e entry) bool { return e.Rows == 0 })
	if len(objects) == 0 {
		return s.mendNew(ctx, part, low, high, list)
	}
	// An object gets the events from its own first number up to the next
	// object's. The first object also gets earlier events.
	for i := range objects {
		end := high
		if i+1 < len(objects) {
			end = min(high, objects[i+1].First)
		}
		n := 0
		for n < len(list) && list[n].Seq < end {
			n++
		}
		mine := list[:n]
		list = list[n:]
		e := &objects[i]
		if len(mine) == 0 && (e.Last < low || e.First >= high) {
			continue
		}
		if err := s.mendObject(ctx, part, e, low, high, mine); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sink) mendObject(ctx context.Context, part string, e *entry, low, high uint64, mine []destination.Event) error {
	t := s.tables[events]
	changed, err := s.differs(ctx, e, low, high, mine)
	if err != nil || !changed {
		return err
	}
	c := change{t: t, part: part, name: e.Name, was: e, room: e.Room, mend: true, build: func(old rows, m *maker) error {
		byKey := map[uint64]row{}
		_ = old(func(r row) error { // of a damaged object, as much as can be read
			if key := t.keyOf(r); (key < low || key >= high) && e.First <= key && key <= e.Last {
				byKey[key] = slices.Clone(r)
			}
			return nil
		})
		for i := range mine {
			byKey[mine[i].Seq] = eventRow(nil, &mine[i])
		}
		return addSorted(m, byKey)
	}}
	return s.commit(ctx, []change{c}, func(*state) {})
}

// differs reports whether an object is not as it was written, or has the wrong
// events in a range.
func (s *Sink) differs(ctx context.Context, e *entry, low, high uint64, want []destination.Event) (bool, error) {
	data, _, err := s.bucket.Get(ctx, e.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", e.Name, err)
	}
	if sum(data) != e.SHA256 {
		return true, nil
	}
	got, err := s.eventsOf(ctx, e.Name, low, high)
	return err != nil || !slices.EqualFunc(got, want, sameEvent), err
}

func sameEvent(a, b destination.Event) bool {
	return a.Seq == b.Seq && a.Project == b.Project && a.Customer == b.Customer && a.Type == b.Type &&
		a.At == b.At && a.Received == b.Received && string(a.Properties) == string(b.Properties)
}

// mendNew makes an object for events whose part has none.
func (s *Sink) mendNew(ctx context.Context, part string, low, high uint64, list []destination.Event) error {
	if len(list) == 0 {
		return nil
	}
	t := s.tables[events]
	name := fmt.Sprintf("%s/%s/seq=%020d-%020d%s", t.name, part, low, high-1, s.format.ending())
	m, err := s.manifestOf(ctx, t, part)
	if err != nil {
		return err
	}
	c := change{t: t, part: part, name: name, was: m.find(name), room: list[len(list)-1].Seq, build: func(_ rows, m *maker) error {
		for i := range list {
			if err := m.keep(eventRow(nil, &list[i])); err != nil {
				return err
			}
		}
		return nil
	}}
	return s.commit(ctx, []change{c}, func(*state) {})
}
