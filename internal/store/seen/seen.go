// Package seen remembers which entries of a shared log took effect, and with
// what results. So an entry that comes again takes no effect, and its appender
// learns what became of it the first time.
package seen

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

// Batch is where changes are staged.
type Batch interface {
	reading.Reader
	Set(key, value []byte, o *pebble.WriteOptions) error
	Delete(key []byte, o *pebble.WriteOptions) error
}

// Place is where an entry that takes effect now is noted.
type Place struct {
	prefix  []byte
	highest uint64 // counter of the origin so far
}

// Look looks an entry up and sets its Again and its Late. If it took effect
// before, it gets the results of that time. If it is neither, it takes effect
// now, and has to be noted.
//
// Cost: one read, or two if the entry does not have the highest counter.
func Look(from reading.Reader, e *entry.Once) (p Place, err error) {
	e.Again, e.Late = false, false
	p.prefix = format.Key(nil).Once(e.Origin)
	if p.highest, err = highest(from, p.prefix); err != nil {
		return p, err
	}
	if p.highest >= entry.Kept && e.Counter <= p.highest-entry.Kept {
		e.Late = true
		return p, nil
	}
	if e.Counter > p.highest {
		return p, nil
	}
	results, err := read(from, p.key(e.Counter))
	if err != nil || results == nil {
		return p, err
	}
	e.Again = true
	return p, entry.DecodeResults(results, e.Entry)
}

// Note stages the results of an entry that took effect, and the removal of what
// is known of the oldest ones.
func (p *Place) Note(b Batch, e *entry.Once) error {
	results := entry.AppendResults(make([]byte, 0, 64), withoutPersonal(e.Entry))
	if err := b.Set(p.key(e.Counter), results, nil); err != nil || e.Counter <= p.highest {
		return err
	}
	if err := b.Set(p.prefix, binary.BigEndian.AppendUint64(nil, e.Counter), nil); err != nil {
		return err
	}
	return p.forget(b, e.Counter)
}

// key returns the key of a counter.
func (p *Place) key(counter uint64) []byte {
	return binary.BigEndian.AppendUint64(bytes.Clone(p.prefix), counter)
}

// forget removes what is known of counters that are too low, now that there is
// a higher one.
func (p *Place) forget(b Batch, now uint64) error {
	if now < entry.Kept {
		return nil
	}
	low, high := uint64(0), now-entry.Kept+1 // the lowest that is known, and that stays
	if p.highest >= entry.Kept {
		low = p.highest - entry.Kept + 1
	}
	const few = 16 // so many are removed without an iterator: the usual case
	var gone [][]byte
	if high-low <= few {
		for ; low < high; low++ {
			gone = append(gone, p.key(low))
		}
	} else if err := reading.ScanRange(b, p.key(low), p.key(high), false, func(key, _ []byte) error {
		gone = append(gone, bytes.Clone(key))
		return nil
	}); err != nil {
		return err
	}
	for _, key := range gone {
		if err := b.Delete(key, nil); err != nil {
			return err
		}
	}
	return nil
}

// highest reads the highest counter of an origin, or 0 if it has none.
func highest(from reading.Reader, key []byte) (uint64, error) {
	value, err := read(from, key)
	if err != nil || value == nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("highest counter: %w", format.ErrCorrupt)
	}
	return binary.BigEndian.Uint64(value), nil
}

// read returns a copy of the value at a key, or nil if the key does not exist.
func read(from reading.Reader, key []byte) ([]byte, error) {
	value, closer, err := from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	value = append([]byte{}, value...)
	return value, closer.Close()
}

// withoutPersonal returns an entry whose results hold nothing that an erasure
// removes. Only the first appender of an erasure learns which identifiers led
// to the customer, or the state would keep them.
func withoutPersonal(e entry.Entry) entry.Entry {
	erase, ok := e.(*entry.Erase)
	if !ok {
		return e
	}
	plain := *erase
	plain.Gone = nil
	return &plain
}
