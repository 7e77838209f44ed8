// Package repeats recognizes events that clients send again with another time.
// A table notes the content of such an event: it holds the id of a message, so
// that only a repetition has the same.
package repeats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/format"
	"trackway/internal/store/overlay"
	"trackway/internal/store/reading"
	"trackway/internal/store/timeline"
)

// Noted reports whether the table has an event with the same content that now
// belongs to the same customer.
func Noted(from reading.Reader, e *trackway.Event) (bool, error) {
	seq, err := find(from, e)
	if err != nil || seq == 0 {
		return false, err
	}
	stored, err := reading.Event(from, seq)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("event %d: %w", seq, err)
	}
	of, err := reading.Survivor(from, stored.Project, stored.Customer)
	if err != nil {
		return false, err
	}
	return of.Customer == e.Customer, nil
}

// Note notes the content of an event.
func Note(to *overlay.Overlay, e *trackway.Event) error {
	return to.Set(Key(e), binary.AppendUvarint(nil, e.Seq), nil)
}

// Forget removes what was noted of an event that goes or that loses some of its
// content. It looks only for events that came with the id of a message.
func Forget(from reading.Reader, to *overlay.Overlay, e *trackway.Event) error {
	if !bytes.Contains(e.Properties, []byte(`"`+trackway.MessageID+`":`)) {
		return nil
	}
	seq, err := find(from, e)
	if err != nil || seq != e.Seq {
		return err
	}
	return to.Delete(Key(e), nil)
}

// find returns the number of the noted event with this content, or 0 if no such
// event was noted.
func find(from reading.Reader, e *trackway.Event) (seq uint64, err error) {
	value, closer, err := from.Get(Key(e))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	seq, n := binary.Uvarint(value)
	if err := closer.Close(); err != nil {
		return 0, err
	}
	if n <= 0 {
		return 0, fmt.Errorf("repeats: %w", format.ErrCorrupt)
	}
	return seq, nil
}

// Key returns the key under which an event is noted.
func Key(e *trackway.Event) []byte {
	sum := timeline.ContentSum(e.Type, e.Properties)
	return format.Key(nil).Repeat(e.Project, sum[:])
}
