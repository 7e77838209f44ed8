package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Snapshot implements [query.Store].
func (s *Store) Snapshot() query.Snapshot {
	return &snapshot{store: s, left: s.readers.Enter(), from: s.db.NewSnapshot()}
}

// snapshot implements [query.Snapshot].
type snapshot struct {
	store *Store
	left  func() // tells that it has been closed
	from  *pebble.Snapshot
}

func (v *snapshot) Close() error {
	defer v.left()
	return v.from.Close()
}

func (v *snapshot) Find(project uint32, id trackway.Identifier) (trackway.Customer, error) {
	value, closer, err := v.from.Get(format.AppendIDKey(nil, project, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return trackway.Customer(binary.BigEndian.Uint64(value)), closer.Close()
}

func (v *snapshot) Profile(project uint32, c trackway.Customer) (*trackway.Profile, error) {
	h, err := readHolder(v.from, project, c)
	if err != nil {
		return nil, err
	}
	return v.profile(h)
}

func readHolder(from pebble.Reader, project uint32, c trackway.Customer) (*identity.Holder, error) {
	value, closer, err := from.Get(format.AppendCustomerKey(nil, project, c))
	if err != nil {
		return nil, fmt.Errorf("customer %d: %w", c, err)
	}
	h, err := format.DecodeHolder(c, value)
	return h, errors.Join(err, closer.Close())
}

func (v *snapshot) profile(h *identity.Holder) (*trackway.Profile, error) {
	p := &trackway.Profile{Customer: h.Customer, Created: h.Created, IDs: identifiers(h.IDs)}
	if h.Properties == 0 {
		return p, nil
	}
	p.Properties = make([]trackway.DatedProperty, 0, h.Properties)
	err := scan(v.from, format.AppendPropsPrefix(nil, h.Customer), func(name, record []byte) error {
		at, value, err := format.SplitDated(record)
		p.Properties = append(p.Properties, trackway.DatedProperty{
			Property: trackway.Property{Name: string(name), Value: bytes.Clone(value)}, Updated: at,
		})
		return err
	})
	return p, err
}

// errStop ends a scan early; scan does not return it.
var errStop = errors.New("stop")

// scan calls do with what follows prefix in each key under it, and the value, in order. Both are valid only during the call.
func scan(from pebble.Reader, prefix []byte, do func(rest, value []byte) error) error {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		err = do(it.Key()[len(prefix):], it.Value())
	}
	if errors.Is(err, errStop) {
		err = nil
	}
	return errors.Join(err, it.Error(), it.Close())
}

func (v *snapshot) Profiles(project uint32, yield func(*trackway.Profile) bool) error {
	return scan(v.from, format.CustomersPrefix(project), func(key, record []byte) error {
		h, err := format.DecodeHolder(trackway.Customer(binary.BigEndian.Uint64(key)), record)
		if err != nil {
			return err
		}
		var p *trackway.Profile // nil where it was absorbed
		if h.MergedInto == 0 {
			p, err = v.profile(h)
		}
		if err == nil && !yield(p) {
			err = errStop
		}
		return err
	})
}
