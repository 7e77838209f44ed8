package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// Register gives each new project a number in this store, and stores which
// identifiers are hard and which are soft. If it fails, it stores nothing. It
// writes the numbers of all projects into projects. A name keeps its kind for
// ever, because the customers' records and the index depend on it. If a name is
// configured with the other kind, the error names it. The result is durable on
// return.
func (s *Store) Register(projects []trackway.Project) error {
	e := entry.Register{}
	for i := range projects {
		p := &projects[i]
		r := entry.Registration{Token: p.Token, Hard: p.Hard, Soft: p.Soft}
		if known, err := registered(s.db, &r); err != nil {
			return fmt.Errorf("register project %q: %w", p.Name, err)
		} else if !known {
			e.Projects = append(e.Projects, r)
		}
		p.Number = r.Number
	}
	if len(e.Projects) == 0 {
		return nil
	}
	// makes the order in the configuration irrelevant
	slices.SortFunc(e.Projects, func(a, b entry.Registration) int { return cmp.Compare(a.Token, b.Token) })
	if err := s.log.Append(&e); err != nil {
		return fmt.Errorf("register projects: %w", err)
	}
	for i := range projects {
		p := &projects[i]
		for _, r := range e.Projects {
			switch {
			case r.Token != p.Token:
			case r.Conflict != "":
				return fmt.Errorf("project %q: identifier %q: a hard one cannot become soft, nor a soft one hard: use a new name", p.Name, r.Conflict)
			default:
				p.Number = r.Number
			}
		}
	}
	return nil
}

// registered reads a project's number, or 0 if it has no number. It reports
// whether the number and the kinds of all its identifiers are stored. A name
// with the other kind is a conflict.
func registered(from reading.Reader, r *entry.Registration) (all bool, err error) {
	number, err := read(from, format.Key(nil).Project(r.Token))
	if err != nil || number == nil {
		return false, err
	}
	if len(number) != 4 {
		return false, fmt.Errorf("number of a project: %w", format.ErrCorrupt)
	}
	r.Number, all = binary.BigEndian.Uint32(number), true
	for name, kind := range kinds(r) {
		noted, err := read(from, format.Key(nil).Identifier(r.Number, name))
		if err != nil {
			return false, err
		}
		if all = all && bytes.Equal(noted, kind); noted != nil && !bytes.Equal(noted, kind) {
			r.Conflict = name
		}
	}
	return all, nil
}

// kinds iterates over the kinds of a project's identifiers, as they are stored.
func kinds(r *entry.Registration) func(yield func(name string, kind []byte) bool) {
	return func(yield func(name string, kind []byte) bool) {
		for _, name := range r.Hard {
			if !yield(name, []byte{format.FlagHard}) {
				return
			}
		}
		for _, name := range r.Soft {
			if !yield(name, []byte{0}) {
				return
			}
		}
	}
}

// register registers projects, unless there is a conflict.
func (t *tx) register(e *entry.Register) error {
	conflict := false
	for i := range e.Projects {
		r := &e.Projects[i]
		r.Number, r.Conflict = 0, ""
		if err := t.registerOne(r); err != nil {
			return err
		}
		conflict = conflict || r.Conflict != ""
	}
	if conflict {
		t.b.Reset()
	}
	return nil
}

func (t *tx) registerOne(r *entry.Registration) error {
	// an earlier one in the entry may have been the same
	if _, err := registered(t.from, r); err != nil {
		return err
	}
	if r.Number == 0 {
		n, err := projects(t.from)
		if err != nil {
			return err
		}
		r.Number = n + 1
		key, number := format.Key(nil).Project(r.Token), binary.BigEndian.AppendUint32(nil, r.Number)
		if err := t.b.Set(key, number, nil); err != nil {
			return err
		}
	}
	for name, kind := range kinds(r) {
		if err := t.b.Set(format.Key(nil).Identifier(r.Number, name), kind, nil); err != nil {
			return err
		}
	}
	return nil
}

// read returns a copy of the value at a key, or nil if the key does not exist.
func read(from reading.Reader, key []byte) ([]byte, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	value = bytes.Clone(value)
	return value, closer.Close()
}

// projects returns how many projects have a number. They are numbered from 1.
func projects(from reading.Reader) (n uint32, err error) {
	err = reading.Scan(from, []byte(format.PrefixProject), func(_, _ []byte) error { n++; return nil })
	return n, err
}
