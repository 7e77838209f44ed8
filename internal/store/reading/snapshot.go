// Package reading shows a store at one moment, as [query.Snapshot] requires. It
// also finds records through others: who a customer is now, or where its events
// are. It consists of look-ups and scans in a database, a snapshot or a batch.
// So readers and writers share this code: writers read before they decide. The
// package changes nothing and holds no lock.
package reading

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/counts"
	"trackway/internal/store/format"
)

// Snapshot implements [query.Snapshot].
type Snapshot struct {
	from   *pebble.Snapshot
	counts *counts.Counter
	left   func() // reports the closing
}

// New returns a view of the snapshot from, with the current counts. It calls
// left after it is closed.
func New(from *pebble.Snapshot, c *counts.Counter, left func()) *Snapshot {
	return &Snapshot{from: from, counts: c, left: left}
}

// Close implements [query.Snapshot].
func (v *Snapshot) Close() error {
	defer v.left()
	return v.from.Close()
}

// Find implements [query.CustomerReader].
func (v *Snapshot) Find(project uint32, id trackway.Identifier) (trackway.Customer, error) {
	value, closer, err := v.from.Get(format.AppendIDKey(nil, project, id))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	return trackway.Customer(binary.BigEndian.Uint64(value)), closer.Close()
}

// Profile implements [query.CustomerReader].
func (v *Snapshot) Profile(project uint32, c trackway.Customer) (*trackway.Profile, error) {
	h, err := Holder(v.from, project, c)
	if err != nil {
		return nil, err
	}
	return v.profile(h)
}

func (v *Snapshot) profile(h *identity.Holder) (*trackway.Profile, error) {
	p := &trackway.Profile{Customer: h.Customer, Created: h.Created, IDs: Identifiers(h.IDs)}
	if h.Properties == 0 {
		return p, nil
	}
	p.Properties = make([]trackway.DatedProperty, 0, h.Properties)
	err := Scan(v.from, format.AppendPropsPrefix(nil, h.Customer), func(name, record []byte) error {
		at, value, err := format.SplitDated(record)
		p.Properties = append(p.Properties, trackway.DatedProperty{
			Property: trackway.Property{Name: string(name), Value: bytes.Clone(value)}, Updated: at,
		})
		return err
	})
	return p, err
}

// Profiles implements [query.CustomerReader].
func (v *Snapshot) Profiles(project uint32, yield func(*trackway.Profile) bool) error {
	return Scan(v.from, format.CustomersPrefix(project), func(key, record []byte) error {
		h, err := format.DecodeHolder(trackway.Customer(binary.BigEndian.Uint64(key)), record)
		if err != nil {
			return err
		}
		var p *trackway.Profile // nil if the customer was absorbed
		if h.MergedInto == 0 {
			p, err = v.profile(h)
		}
		if err == nil && !yield(p) {
			err = ErrStop
		}
		return err
	})
}
