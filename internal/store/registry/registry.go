// Package registry reads and writes the numbers of projects, and the kinds of
// their identifiers.
package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/entry"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// Writer is a batch.
type Writer interface {
	Set(key, value []byte, o *pebble.WriteOptions) error
	Reset()
}

// Find reads a project's number into r, or 0 if the project has no number. It
// reports whether the number and the kinds of all identifiers are stored. A
// name with the other kind is a conflict, which Find notes in r.
func Find(from reading.Reader, r *entry.Registration) (all bool, err error) {
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

// Add writes a project's number and the kinds of its identifiers into b. If the
// project has no number, it gets the next one.
func Add(from reading.Reader, b Writer, r *entry.Registration) error {
	// an earlier one in the entry may have been the same
	if _, err := Find(from, r); err != nil {
		return err
	}
	if r.Number == 0 {
		n, err := Count(from)
		if err != nil {
			return err
		}
		r.Number = n + 1
		key, number := format.Key(nil).Project(r.Token), binary.BigEndian.AppendUint32(nil, r.Number)
		if err := b.Set(key, number, nil); err != nil {
			return err
		}
	}
	for name, kind := range kinds(r) {
		if err := b.Set(format.Key(nil).Identifier(r.Number, name), kind, nil); err != nil {
			return err
		}
	}
	return nil
}

// Register registers projects, unless there is a conflict: then b is empty.
func Register(from reading.Reader, b Writer, e *entry.Register) error {
	conflict := false
	for i := range e.Projects {
		r := &e.Projects[i]
		r.Number, r.Conflict = 0, ""
		if err := Add(from, b, r); err != nil {
			return err
		}
		conflict = conflict || r.Conflict != ""
	}
	if conflict {
		b.Reset()
	}
	return nil
}

// Assign notes the partitions of projects that have none.
func Assign(from reading.Reader, b Writer, e *entry.Assign) error {
	e.Partitions = make([]uint32, len(e.Tokens))
	for i, token := range e.Tokens {
		part, known, err := Assigned(from, token)
		if err != nil {
			return err
		}
		if e.Partitions[i] = part; known {
			continue
		}
		e.Partitions[i] = e.Wanted[i]
		if err := b.Set(append([]byte(format.PrefixAssigned), token...), binary.BigEndian.AppendUint32(nil, e.Wanted[i]), nil); err != nil {
			return err
		}
	}
	return nil
}

// Assigned returns the partition that a project is assigned to, if it is.
func Assigned(from reading.Reader, token string) (part uint32, known bool, err error) {
	value, err := read(from, append([]byte(format.PrefixAssigned), token...))
	if err != nil || value == nil {
		return 0, false, err
	}
	if len(value) != 4 {
		return 0, false, fmt.Errorf("partition of a project: %w", format.ErrCorrupt)
	}
	return binary.BigEndian.Uint32(value), true, nil
}

// Count returns how many projects have a number. They are numbered from 1.
func Count(from reading.Reader) (n uint32, err error) {
	err = reading.Scan(from, []byte(format.PrefixProject), func(_, _ []byte) error { n++; return nil })
	return n, err
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
