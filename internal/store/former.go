package store

import (
	"slices"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
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
// exported and imported. How many there are is bounded before (internal/ingest). A value that is too long for an identifier is
// not noted: nobody can ever have it, or be erased by it, and it would be a part of a key.
func (t *tx) noteNamed(e *trackway.Event) error {
	ids := erased.MergeIDs(e.Properties)
	t.moved += len(ids) // there may be thousands: others are let in before the next command
	for _, id := range ids {
		if len(id.Name) > trackway.MaxNameBytes || len(id.Value) > trackway.MaxIDBytes {
			continue
		}
		if err := t.former(e.Project, id, e.Customer); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) former(project uint32, id trackway.Identifier, c trackway.Customer) error {
	t.key = format.Key(t.key[:0]).Former(project, id, c)
	return t.b.Set(t.key, nil, nil)
}
