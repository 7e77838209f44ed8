package store

import (
	"slices"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
)

// A merge event records the identifiers of both customers and those of the
// command that caused it. After a soft identifier has moved to another
// customer, a merge event of the previous one still names it. A command may
// also name an identifier that stays with another customer. The store notes
// both, in case the identifier must be erased later.

// noteFormer stages the customers that lose an identifier by a decision, with
// or without a new holder, and those whose merge names an identifier of another
// customer.
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
		// the merge names the identifier as a part of its cause, and its holder
		// keeps it
		named := d.Holder.Customer
		if slices.Contains(d.Robbed, h) {
			named = h.Customer
		}
		if err := t.former(c.Project, id, named); err != nil {
			return err
		}
	}
	return nil
}

// noteNamed stages the identifiers in an event that a client sent with the type
// of merges: it may be a merge of another server, exported there and imported
// here. internal/ingest has already limited their number. noteNamed skips a
// value that is too long for an identifier: no customer can ever have it or be
// erased by it, and it would become a part of a key.
func (t *tx) noteNamed(e *trackway.Event) error {
	ids := erased.MergeIDs(e.Properties)
	t.moved += len(ids) // there may be thousands, so others get the lock before the next command
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
