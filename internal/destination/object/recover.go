package object

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// recover undoes what a write announced and did not finish.
func (s *Sink) recover(ctx context.Context) error {
	for _, p := range s.state.Pending {
		t := s.table(p.Table)
		if t == nil {
			return final("%s names a table %q, which this Trackway does not know", stateName, p.Table)
		}
		if err := s.takeBack(ctx, t, p); err != nil {
			return fmt.Errorf("take back %s: %w", p.Name, err)
		}
	}
	if len(s.state.Pending) == 0 {
		return nil
	}
	return s.save(ctx, func(st *state) { st.Pending = nil })
}

func (s *Sink) takeBack(ctx context.Context, t *table, p pending) error {
	if p.Was == nil || p.Was.Rows == 0 {
		return s.blank(ctx, t, p)
	}
	data, tag, err := s.bucket.Get(ctx, p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // somebody removed it; a check of the destination finds that
	}
	if err != nil {
		return err
	}
	e := *p.Was
	same := int64(len(data)) >= e.Bytes && sum(data[:e.Bytes]) == e.SHA256
	a, appends := s.bucket.(Appender)
	switch {
	case !s.o.Late && same && int64(len(data)) == e.Bytes:
		// It is as it was.
	case same && appends && s.format.joins():
		if err := a.Truncate(ctx, p.Name, e.Bytes); err != nil {
			return err
		}
	default:
		// The object has either its old content or the new one. Rows above the
		// position are removed, and rows that a rewrite has removed do not
		// return.
		c := change{t: t, part: p.Part, name: p.Name, was: &e, room: e.Room, exact: true, mend: true, build: s.upTo(t, s.state.limit())}
		out, err := s.remake(&c, data)
		if err != nil {
			return err
		}
		if _, err := s.bucket.Replace(ctx, p.Name, tag, out.data); err != nil {
			return err
		}
		e = c.entry(out, int64(len(out.data)), sum(out.data), false)
	}
	return s.note(ctx, t, p.Part, e)
}

// upTo keeps the rows up to a number. Erasures are not numbered by changes.
func (s *Sink) upTo(t *table, number uint64) func(old rows, m *maker) error {
	return func(old rows, m *maker) error {
		return old(func(r row) error {
			if t != s.tables[erasures] && t.keyOf(r) > number {
				return nil
			}
			return m.keep(r)
		})
	}
}

// remake makes an object from its present content.
func (s *Sink) remake(c *change, data []byte) (*made, error) {
	m := s.maker(c.t, &column.Misfits{})
	if err := c.build(s.rowsOf(c.t, data, false), m); err != nil {
		return nil, err
	}
	return m.finish()
}

// blank removes the rows of an object that is new.
func (s *Sink) blank(ctx context.Context, t *table, p pending) error {
	m, err := s.manifestOf(ctx, t, p.Part)
	if err != nil {
		return err
	}
	if err := s.clear(ctx, t, m, p.Name); err != nil {
		return err
	}
	return s.saveManifest(ctx, m)
}

// clear removes an object. If requests may be late, it writes an empty object
// instead, for two reasons: a write that is still on its way must not create
// the object, and a late removal, which has no condition, could remove the
// object after it was created again. clear does not save the manifest.
func (s *Sink) clear(ctx context.Context, t *table, m *manifest, name string) error {
	if !s.o.Late {
		if err := s.bucket.Delete(ctx, name); err != nil {
			return err
		}
		m.remove(name)
		return nil
	}
	out, err := s.maker(t, nil).finish()
	if err != nil {
		return err
	}
	_, tag, err := s.bucket.Get(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		_, err = s.bucket.Create(ctx, name, out.data)
	case err == nil:
		_, err = s.bucket.Replace(ctx, name, tag, out.data)
	}
	if err != nil {
		return err
	}
	m.set(entry{Name: name, First: s.state.limit() + 1, Last: s.state.limit() + 1, Bytes: int64(len(out.data)), SHA256: sum(out.data)})
	return nil
}

// Rewind sets the position. Later rows stay until the engine sends them again,
// and are then replaced. If the position belongs to another store, they are
// removed, because its numbers mean other changes.
func (s *Sink) Rewind(ctx context.Context, to destination.Position) error {
	if s.state == nil {
		return errUnprepared
	}
	err := s.rewind(ctx, to)
	if errors.Is(err, ErrChanged) { // by a late request of a write that was stopped
		if _, err = s.Prepare(ctx); err == nil {
			err = s.rewind(ctx, to)
		}
	}
	return s.guard(err)
}

func (s *Sink) rewind(ctx context.Context, to destination.Position) error {
	if s.visits() {
		if err := s.claim(ctx); err != nil {
			return err
		}
	}
	foreign := s.state.Store != "" && to.Store != s.state.Store
	err := s.save(ctx, func(st *state) {
		st.High = st.limit()
		st.Store, st.Number = to.Store, to.Number
		if foreign {
			st.High, st.Cutting = 0, true
		}
	})
	if err != nil || !foreign {
		return err
	}
	return s.cut(ctx)
}

// cut removes all rows after the position.
func (s *Sink) cut(ctx context.Context) error {
	for _, t := range s.tables {
		if t == s.tables[erasures] {
			continue
		}
		parts, err := s.parts(ctx, t)
		if err != nil {
			return err
		}
		for _, part := range parts {
			if err := s.cutPart(ctx, t, part); err != nil {
				return err
			}
		}
	}
	return s.save(ctx, func(st *state) { st.Cutting = false })
}

// manyCleared is the number of objects after which a cut notes its progress,
// because a cut may take longer than an attempt.
const manyCleared = 50

func (s *Sink) cutPart(ctx context.Context, t *table, part string) error {
	m, err := s.manifestOf(ctx, t, part)
	if err != nil {
		return err
	}
	gone := 0
	var shorter []change
	for _, e := range slices.Clone(m.Objects) {
		switch {
		case e.Rows == 0:
			// The object stays, to keep a late write away.
		case e.First > s.state.Number:
			if err := s.clear(ctx, t, m, e.Name); err != nil {
				return fmt.Errorf("remove %s: %w", e.Name, err)
			}
			if gone++; gone%manyCleared != 0 {
				continue
			}
			if err := s.saveManifest(ctx, m); err != nil {
				return err
			}
		case e.Last > s.state.Number:
			shorter = append(shorter, change{t: t, part: part, name: e.Name, was: &e, room: s.state.Number, exact: true, mend: true, build: s.upTo(t, s.state.Number)})
		}
	}
	if gone%manyCleared != 0 {
		if err := s.saveManifest(ctx, m); err != nil {
			return err
		}
	}
	for _, c := range shorter {
		if err := s.commit(ctx, []change{c}, func(*state) {}); err != nil {
			return err
		}
	}
	return nil
}
