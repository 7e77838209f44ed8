package object

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"trackway/internal/destination/column"
)

var errExist = fs.ErrExist

// change is an object that is to be written.
type change struct {
	t    *table
	part string
	name string
	was  *entry // nil: the object is new
	room uint64

	// build adds the object's rows. It gets the old rows.
	build func(old rows, m *maker) error

	grow  bool // build adds all old rows, and then new ones
	exact bool // rows at the ends may be removed: First and Last describe the remaining rows
	gone  bool // the object may be missing
	mend  bool // as above, and the object may differ from what was written
}

// rows calls yield with each row of an object, until yield returns an error.
// The row is valid only during the call.
type rows func(yield func(r row) error) error

func (old rows) addTo(m *maker) error { return old(m.keep) }

func addSorted(m *maker, byKey map[uint64]row) error {
	for _, key := range slices.Sorted(maps.Keys(byKey)) {
		if err := m.keep(byKey[key]); err != nil {
			return err
		}
	}
	return nil
}

// commit writes the objects, and after them the state as the function then
// changes it. The state holds the position: see the comment of the package. It
// does not count an object until all are written.
func (s *Sink) commit(ctx context.Context, changes []change, then func(st *state)) error {
	s.seen = nil
	if len(changes) > 0 {
		announced := make([]pending, 0, len(changes))
		for _, c := range changes {
			p := pending{Table: c.t.name, Part: c.part, Name: c.name}
			if c.was != nil {
				was := *c.was
				p.Was = &was
			}
			announced = append(announced, p)
		}
		if err := s.save(ctx, func(st *state) { st.Pending = announced }); err != nil {
			return err
		}
	}
	var misfits column.Misfits
	for _, c := range changes {
		e, err := s.apply(ctx, &c, &misfits)
		if err != nil {
			return fmt.Errorf("write %s: %w", c.name, err)
		}
		if err := s.note(ctx, c.t, c.part, e); err != nil {
			return err
		}
	}
	err := s.save(ctx, func(st *state) {
		st.Pending = nil
		then(st)
	})
	if err == nil {
		s.misfits.Take(&misfits)
	}
	return err
}

// note writes an entry into its manifest.
func (s *Sink) note(ctx context.Context, t *table, part string, e entry) error {
	m, err := s.manifestOf(ctx, t, part)
	if err != nil {
		return err
	}
	m.set(e)
	return s.saveManifest(ctx, m)
}

// apply writes an object and returns its entry.
func (s *Sink) apply(ctx context.Context, c *change, misfits *column.Misfits) (entry, error) {
	if a, ok := s.bucket.(Appender); ok && c.grow && s.format.joins() {
		return s.append(ctx, a, c, misfits)
	}
	delete(s.digests, c.name)
	old, tag, err := s.old(ctx, c)
	if err != nil {
		return entry{}, err
	}
	m := s.maker(c.t, misfits)
	join := c.grow && s.format.joins()
	if err := c.build(s.rowsOf(c.t, old, join), m); err != nil {
		return entry{}, err
	}
	out, err := m.finish()
	if err != nil {
		return entry{}, err
	}
	if join {
		out.data = slices.Concat(old, out.data)
	}
	if tag == "" {
		_, err = s.bucket.Create(ctx, c.name, out.data)
	} else {
		_, err = s.bucket.Replace(ctx, c.name, tag, out.data)
	}
	return c.entry(out, int64(len(out.data)), sum(out.data), join), err
}

// old returns the present content of an object, and an empty tag if it does not
// exist.
func (s *Sink) old(ctx context.Context, c *change) (data []byte, tag string, err error) {
	if c.was == nil {
		return nil, "", nil
	}
	data, tag, err = s.bucket.Get(ctx, c.name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && (c.gone || c.mend):
		return nil, "", nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", final("it was removed by somebody else: run `trackway destinations verify %s --mend`", s.name)
	case err != nil:
		return nil, "", err
	case !c.mend && sum(data) != c.was.SHA256:
		return nil, "", final("it was changed by somebody else: run `trackway destinations verify %s --mend`", s.name)
	}
	return data, tag, nil
}

// rowsOf reads the rows of an object. It reads nothing if skip is set or the
// object is empty.
func (s *Sink) rowsOf(t *table, data []byte, skip bool) rows {
	return func(yield func(r row) error) (err error) {
		if skip || len(data) == 0 {
			return nil
		}
		decodeErr := s.decode(t, data, func(r row) bool {
			err = yield(r)
			return err == nil
		})
		return errors.Join(err, decodeErr)
	}
}

// append adds rows to an object that grows in place. To compute the checksum,
// it reads the object, unless this sink has read or written it before.
func (s *Sink) append(ctx context.Context, a Appender, c *change, misfits *column.Misfits) (entry, error) {
	digest := s.digests[c.name]
	if digest == nil {
		old, _, err := s.old(ctx, c)
		if err != nil {
			return entry{}, err
		}
		digest = sha256.New()
		digest.Write(old)
	}
	delete(s.digests, c.name)
	m := s.maker(c.t, misfits)
	if err := c.build(s.rowsOf(c.t, nil, true), m); err != nil {
		return entry{}, err
	}
	out, err := m.finish()
	if err != nil {
		return entry{}, err
	}
	if err := a.Append(ctx, c.name, c.was.Bytes, out.data); errors.Is(err, ErrChanged) {
		return entry{}, final("it was changed by somebody else: run `trackway destinations verify %s --mend`", s.name)
	} else if err != nil {
		return entry{}, err
	}
	digest.Write(out.data)
	if len(s.digests) >= keptManifests {
		clear(s.digests)
	}
	s.digests[c.name] = digest
	return c.entry(out, c.was.Bytes+int64(len(out.data)), hex.EncodeToString(digest.Sum(nil)), true), nil
}

// entry describes an object after it was made. If joined is set, out has only
// the new rows.
func (c *change) entry(out *made, size int64, sha256 string, joined bool) entry {
	e := entry{
		Name: c.name, First: out.first, Last: out.last, Rows: out.rows, Bytes: size, SHA256: sha256, Weight: out.weight, Room: c.room,
	}
	if c.was == nil || c.was.Rows == 0 && !c.mend {
		return e
	}
	if joined {
		e.Rows += c.was.Rows
		e.Weight += c.was.Weight
	}
	if !c.exact {
		e.First = c.was.First
		e.Last = max(e.Last, c.was.Last)
		if out.rows > 0 {
			e.First = min(e.First, out.first)
		}
	}
	return e
}
