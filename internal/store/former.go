package store

import (
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// A merge is recorded with the identifiers of both customers, and those of the command that caused it. When a soft identifier
// moves on to somebody else, such an event of the customer who loses it still names it; and a command may name one that stays
// somebody else's. So that is noted, for the day on which the identifier has to be erased.

// noteFormer stages who loses an identifier by a decision, to somebody or to nobody, and whose merge names one of somebody else.
func (t *tx) noteFormer(c *trackway.Command, d *identity.Decision) error {
	for _, id := range d.Release {
		if err := t.former(c.Project, id, d.Holder.Customer); err != nil {
			return err
		}
	}
	if len(d.Robbed)+len(d.Absorbed) == 0 {
		return nil
	}
	for i, id := range c.IDs {
		h := t.found[i]
		if h == nil || h == d.Holder || slices.Contains(d.Absorbed, h) {
			continue
		}
		named := d.Holder.Customer // by the merge, as a part of its cause, and left with whom it belongs to
		if slices.Contains(d.Robbed, h) {
			named = h.Customer
		}
		if err := t.former(c.Project, id, named); err != nil {
			return err
		}
	}
	return nil
}

// noteNamed stages that a client's event of the type of merges names identifiers: it may be a merge of another server, which was
// exported and imported.
func (t *tx) noteNamed(e *trackway.Event) error {
	ids := erased.MergeIDs(e.Properties)
	t.moved += len(ids) // there may be thousands: others are let in before the next command
	for _, id := range ids {
		if err := t.former(e.Project, id, e.Customer); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) former(project uint32, id trackway.Identifier, c trackway.Customer) error {
	t.key = format.AppendFormerKey(t.key[:0], project, id, c)
	return t.b.Set(t.key, nil, nil)
}

// formerHolders lists the customers that had one of these identifiers and lost it, as who they are now.
func formerHolders(from pebble.Reader, project uint32, ids []identity.ID) (found []*identity.Holder, err error) {
	known := make(map[trackway.Customer]bool) // there may be as many as somebody cares to make
	for _, id := range ids {
		err = reading.Scan(from, format.AppendFormerPrefix(nil, project, id.Identifier), func(c, _ []byte) error {
			h, err := reading.Survivor(from, project, trackway.Customer(binary.BigEndian.Uint64(c)))
			if err == nil && !known[h.Customer] {
				known[h.Customer] = true
				found = append(found, h)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}
