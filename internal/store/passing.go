package store

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/damage"
	"trackway/internal/store/format"
)

// eachEvent calls do for the events of the log from a sequence number up to, not including, another, in order, until do returns
// false. The event is valid only during the call.
//
// What cannot be read is noted and passed over: one event that is lost must not keep those behind it from being counted at an opening,
// or from expiring. It looks for the next one that can be read number by number, through a block of some hundreds that is lost.
func (s *Store) eachEvent(from, to uint64, do func(*trackway.Event) bool) error {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: format.AppendLogKey(nil, from), UpperBound: format.AppendLogKey(nil, to)})
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // its error has been noted
	types := make(format.TypeNames)
	next := from // no event before it is looked at again
	for ok := it.First(); next < to; {
		if !ok {
			if it.Error() == nil {
				break
			}
			s.damaged.Note(damage.Event, eventPlace(next), it.Error())
			next++
			ok = it.SeekGE(format.AppendLogKey(nil, next))
			continue
		}
		seq := binary.BigEndian.Uint64(it.Key()[1:])
		e, err := format.ViewEvent(seq, it.Value(), types)
		if err != nil {
			s.damaged.Note(damage.Event, eventPlace(seq), err)
		} else if !do(&e) {
			break
		}
		next = seq + 1
		ok = it.Next()
	}
	return nil
}

func eventPlace(seq uint64) string { return fmt.Sprintf("event %d", seq) }
