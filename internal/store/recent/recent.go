// Package recent keeps the records of changes that are not events. These share
// the numbering of the events, so both together form one feed. Only the latest
// change of each customer has a record, so there are never more records than
// customers and projects.
//
// The records have their own table. The log of events only grows at its end, so
// Pebble moves its files down the levels without rewriting them. Records that
// come and go among the events would break that.
package recent

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/store/format"
)

// appendBody appends the part of a change that both tables store.
func appendBody(b []byte, c *change.Change) []byte {
	b = append(b, byte(c.Kind))
	if c.Kind == change.Expired {
		b = binary.AppendUvarint(b, c.Expired.Events)
		b = binary.AppendUvarint(b, c.Expired.Highest)
	}
	return b
}

// Append appends a change's record.
func Append(b []byte, c *change.Change) []byte {
	b = binary.AppendUvarint(b, uint64(c.Project))
	b = binary.AppendUvarint(b, uint64(c.Customer))
	return appendBody(b, c)
}

// Decode decodes the record of the change with this number.
func Decode(number uint64, record []byte) (change.Change, error) {
	r := format.Reader{Rest: string(record)}
	c := change.Change{Number: number, Project: uint32(r.Uvarint()), Customer: trackway.Customer(r.Uvarint())}
	return c, decodeBody(&c, &r)
}

// DecodeLatest decodes the record of a latest change. The result lacks the
// project and the customer.
func DecodeLatest(record []byte) (change.Change, error) {
	r := format.Reader{Rest: string(record)}
	c := change.Change{Number: r.Uvarint()}
	return c, decodeBody(&c, &r)
}

func decodeBody(c *change.Change, r *format.Reader) error {
	c.Kind = change.Kind(min(r.Uvarint(), uint64(change.Lost)))
	switch c.Kind {
	case change.Changed, change.Rewritten, change.Erased:
	case change.Expired:
		c.Expired = change.Expiry{Events: r.Uvarint(), Highest: r.Uvarint()}
	default:
		r.Bad = true
	}
	r.Bad = r.Bad || r.Rest != ""
	return r.Err()
}

// Writer receives the records of a batch.
type Writer interface {
	Set(key, value []byte, o *pebble.WriteOptions) error
	Delete(key []byte, o *pebble.WriteOptions) error
}

// Stager stages changes in a batch and numbers them in order. It may be used
// for one batch after another.
type Stager struct {
	From  *pebble.DB // the committed state
	Batch Writer
	Next  uint64              // the number of the next change
	New   trackway.Customer   // customers from this one on have no change yet
	Lost  func(string, error) // receives what cannot be read

	key, other format.Key
	value      []byte
}

// Add stages a change and sets its number. It replaces the record of the
// customer's previous change. The new record covers both: its kind is no lower,
// and its expired events include the earlier ones.
//
// If the previous change cannot be read, its record stays, and the new one says
// that events were rewritten. Followers then learn more than they need, but no
// customer is refused anything because of it.
//
// REQUIRES: the batch has no other change of the same customer.
//
// Cost: a look-up, unless the customer is new, and three records of 45 bytes,
// or two of 35.
func (s *Stager) Add(c change.Change) error {
	s.key = s.key[:0].Latest(c.Project, c.Customer)
	if c.Customer < s.New {
		before, err := s.latest()
		switch {
		case err != nil:
			s.Lost(fmt.Sprintf("latest change of customer %d of project %d", c.Customer, c.Project), err)
			c.Kind = max(c.Kind, change.Rewritten)
		case before.Number != 0:
			c.Kind = max(c.Kind, before.Kind)
			c.Expired.Events += before.Expired.Events
			c.Expired.Highest = max(c.Expired.Highest, before.Expired.Highest)
			s.other = s.other[:0].Change(before.Number)
			if err := s.Batch.Delete(s.other, nil); err != nil {
				return err
			}
		}
	}
	s.value = appendBody(binary.AppendUvarint(s.value[:0], s.Next), &c)
	if err := s.Batch.Set(s.key, s.value, nil); err != nil {
		return err
	}
	s.other, s.value = s.other[:0].Change(s.Next), Append(s.value[:0], &c)
	s.Next++
	return s.Batch.Set(s.other, s.value, nil)
}

// latest decodes the record at s.key. It returns zero if there is no record.
func (s *Stager) latest() (c change.Change, err error) {
	record, closer, err := s.From.Get(s.key)
	if errors.Is(err, pebble.ErrNotFound) {
		return c, nil
	} else if err != nil {
		return c, err
	}
	c, err = DecodeLatest(record)
	return c, errors.Join(err, closer.Close())
}
