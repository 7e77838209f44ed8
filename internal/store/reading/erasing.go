package reading

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/identity"
	"trackway/internal/store/format"
)

// EachOf calls do for the events of a customer, timeline by timeline. An event
// is valid only during the call. An event that cannot be read is an error,
// because an erasure must miss nothing of a customer.
func EachOf(from pebble.Reader, h *identity.Holder, types format.TypeNames, do func(*trackway.Event) error) error {
	owners, err := Timelines(from, h)
	if err != nil {
		return err
	}
	all := &pebble.IterOptions{LowerBound: []byte{format.TableLog}, UpperBound: []byte{format.TableLog + 1}}
	log, err := from.NewIter(all)
	if err != nil {
		return err
	}
	var key []byte
	for _, owner := range owners {
		err = errors.Join(err, Scan(from, format.AppendTimelinePrefix(nil, owner), func(_, entry []byte) error {
			seq, n := binary.Uvarint(entry)
			if n <= 0 {
				return format.ErrCorrupt
			}
			key = format.AppendLogKey(key[:0], seq)
			if !log.SeekGE(key) || !bytes.Equal(log.Key(), key) {
				return errors.Join(log.Error(), fmt.Errorf("event %d: %w", seq, pebble.ErrNotFound))
			}
			event, err := format.ViewEvent(seq, log.Value(), types)
			if err != nil {
				return err
			}
			return do(&event)
		}))
	}
	return errors.Join(err, log.Close())
}

// Since calls do for the events of a project from sequence number low up to,
// but not including, high. An event is valid only during the call. An event
// that cannot be read is an error.
func Since(
	from pebble.Reader, project uint32, low, high uint64, types format.TypeNames, do func(*trackway.Event) error,
) error {
	start, end := format.AppendLogKey(nil, low), format.AppendLogKey(nil, high)
	return ScanRange(from, start, end, false, func(key, record []byte) error {
		if of, _ := binary.Uvarint(record); of != uint64(project) {
			return nil
		}
		event, err := format.ViewEvent(binary.BigEndian.Uint64(key[1:]), record, types)
		if err != nil {
			return err
		}
		return do(&event)
	})
}
