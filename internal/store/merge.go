package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/wire"
)

// mergeType is the type of the event that records a merge.
const mergeType = "merge"

// absorb stages the merge of one customer into another: the properties move, the newer of each winning; the events stay
// where they are and the survivor remembers whom it absorbed; an event tells so. The identifiers were moved already.
func (t *tx) absorb(c *trackway.Command, survivor *identity.Holder, before []identity.ID, absorbed *identity.Holder) error {
	if err := t.moveProperties(survivor, absorbed); err != nil {
		return err
	}
	event := trackway.Event{
		Seq: t.nextSeq, Project: c.Project, Customer: survivor.Customer,
		Type: mergeType, Time: c.Received, Received: c.Received, Properties: mergeProperties(before, absorbed.IDs),
	}
	t.key = appendAbsorbedKey(t.key[:0], survivor.Customer, absorbed.Customer)
	t.value = appendMicros(binary.AppendUvarint(t.value[:0], event.Seq), c.Received)
	if err := t.b.Set(t.key, t.value, nil); err != nil {
		return err
	}
	if err := t.append(&event, event.Seq); err != nil {
		return err
	}
	survivor.Absorbed++
	*absorbed = identity.Holder{
		Customer: absorbed.Customer, Created: absorbed.Created,
		Absorbed: absorbed.Absorbed, MergedInto: survivor.Customer,
	}
	return t.putHolder(c.Project, absorbed)
}

// mergeProperties are those of a merge event: the identifiers of both.
func mergeProperties(into, from []identity.ID) []byte {
	return wire.AppendObject(nil, []trackway.Property{
		{Name: "absorbed_ids", Value: wire.AppendIDs(nil, identifiers(from))},
		{Name: "survivor_ids", Value: wire.AppendIDs(nil, identifiers(into))},
	})
}

func identifiers(ids []identity.ID) []trackway.Identifier {
	out := make([]trackway.Identifier, len(ids))
	for i, id := range ids {
		out[i] = id.Identifier
	}
	return out
}

// moveProperties gives the survivor the properties of the absorbed customer. Where both have one, the newer wins; of two
// equally old ones the survivor's stays. A merge may take a customer over its share of properties: it loses none.
func (t *tx) moveProperties(survivor, absorbed *identity.Holder) error {
	if absorbed.Properties == 0 {
		return nil
	}
	return scan(t.from, appendPropsPrefix(nil, absorbed.Customer), func(name, record []byte) error {
		if err := t.moveProperty(survivor, string(name), record); err != nil {
			return err
		}
		t.key = appendPropKey(t.key[:0], absorbed.Customer, string(name))
		return t.b.Delete(t.key, nil)
	})
}

func (t *tx) moveProperty(survivor *identity.Holder, name string, record []byte) error {
	at, value, err := splitDated(record)
	if err != nil {
		return fmt.Errorf("property of customer: %w", err)
	}
	t.key = appendPropKey(t.key[:0], survivor.Customer, name)
	own, release, err := t.get(t.key)
	if err != nil {
		return err
	}
	if own != nil {
		since, _, err := splitDated(own)
		if err := errors.Join(err, release()); err != nil {
			return err
		}
		if since >= at {
			return nil
		}
	} else {
		survivor.Properties++
	}
	t.value = appendDated(t.value[:0], at, value)
	return t.b.Set(t.key, t.value, nil)
}

// absorbedBy lists the customers merged into c, directly or through one another, up to most of them.
func absorbedBy(from pebble.Reader, c trackway.Customer, most int) ([]trackway.Customer, error) {
	all := []trackway.Customer{c}
	for i := 0; i < len(all) && len(all) <= most; i++ {
		err := scan(from, appendAbsorbedPrefix(nil, all[i]), func(absorbed, _ []byte) error {
			all = append(all, trackway.Customer(binary.BigEndian.Uint64(absorbed)))
			if len(all) > most {
				return errStop
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all[1:], nil
}
