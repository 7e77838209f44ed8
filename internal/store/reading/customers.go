package reading

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Survivor implements [query.CustomerReader].
func (v *Snapshot) Survivor(project uint32, c trackway.Customer) (trackway.Customer, error) {
	for {
		record, closer, err := v.from.Get(format.AppendCustomerKey(nil, project, c))
		if errors.Is(err, pebble.ErrNotFound) {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
		into, err := survivorOf(record)
		if err := errors.Join(err, closer.Close()); err != nil || into == 0 {
			return c, err
		}
		c = into
	}
}

// survivorOf reads the beginning of a customer's record. It returns the
// customer into which this one was merged, or 0 if it was not merged.
func survivorOf(record []byte) (trackway.Customer, error) {
	_, n := binary.Uvarint(record)
	if n <= 0 {
		return 0, format.ErrCorrupt
	}
	into, m := binary.Uvarint(record[n:])
	if m <= 0 {
		return 0, format.ErrCorrupt
	}
	return trackway.Customer(into), nil
}

// Customers implements [query.CustomerReader].
func (v *Snapshot) Customers(project uint32, r query.CustomerRange, yield func(trackway.Customer, []byte) bool) error {
	low, high := format.CustomersPrefix(project), format.After(format.CustomersPrefix(project))
	switch {
	case r.After != 0 && r.NewestFirst:
		high = format.AppendCustomerKey(nil, project, r.After)
	case r.After != 0:
		low = append(format.AppendCustomerKey(nil, project, r.After), 0)
	}
	props, err := v.from.NewIter(&pebble.IterOptions{LowerBound: []byte{format.TableProps}, UpperBound: []byte{format.TableProps + 1}})
	if err != nil {
		return err
	}
	var key, value []byte
	err = ScanRange(v.from, low, high, r.NewestFirst, func(at, record []byte) error {
		c := trackway.Customer(binary.BigEndian.Uint64(at[len(at)-8:]))
		into, err := survivorOf(record)
		if err != nil {
			return err
		}
		if into != 0 {
			if r.Passed != nil && !r.Passed(c) {
				return ErrStop
			}
			return nil
		}
		if r.Property != "" {
			key = format.AppendPropKey(key[:0], c, r.Property)
			if value, err = property(props, key); err != nil {
				return err
			}
		}
		if !yield(c, value) {
			return ErrStop
		}
		return nil
	})
	return errors.Join(err, props.Close())
}

// property returns the value at a key of the table of properties, or nil if the
// key does not exist. The value is valid until the iterator moves. An iterator
// finds nearby keys faster than a Get does.
func property(it *pebble.Iterator, key []byte) ([]byte, error) {
	if !it.SeekGE(key) || !bytes.Equal(it.Key(), key) {
		return nil, it.Error()
	}
	_, value, err := format.SplitDated(it.Value())
	return value, err
}

// Identifiers implements [query.CustomerReader].
func (v *Snapshot) Identifiers(
	project uint32, name, prefix, from string, yield func(string, trackway.Customer) bool,
) error {
	start := format.AppendIDKey(nil, project, trackway.Identifier{Name: name})
	low := append(slices.Clip(start), prefix...)
	high := format.After(low)
	if from >= prefix && from != "" {
		low = append(append(slices.Clip(start), from...), 0)
	}
	if bytes.Compare(low, high) >= 0 {
		return nil
	}
	return ScanRange(v.from, low, high, false, func(key, value []byte) error {
		if !yield(string(key[len(start):]), trackway.Customer(binary.BigEndian.Uint64(value))) {
			return ErrStop
		}
		return nil
	})
}
