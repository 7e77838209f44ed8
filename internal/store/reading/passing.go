package reading

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/format"
)

// mostLost is how many events in a row may be lost before no more is looked for: more than a file holds.
const mostLost = 1 << 20

// Log calls do for the events of the log from a sequence number up to, not including, another, in order, until do returns false. The
// event is valid only during the call.
//
// What cannot be read is passed over, and lost is told of it. The next one that can be read is looked for number by number, through a block
// of some hundreds that is lost; where none is found for very long the error is the last one's.
func Log(from pebble.Reader, low, high uint64, lost func(seq uint64, err error), do func(*trackway.Event) bool) error {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: format.AppendLogKey(nil, low), UpperBound: format.AppendLogKey(nil, high)})
	if err != nil {
		return err
	}
	defer func() { _ = it.Close() }() // its error has been told
	types := make(format.TypeNames)
	next, misses := low, 0 // no event before next is looked at again
	for ok := it.First(); next < high; {
		if !ok {
			err := it.Error()
			if misses++; err == nil || misses > mostLost {
				return err
			}
			lost(next, err)
			next++
			ok = it.SeekGE(format.AppendLogKey(nil, next))
			continue
		}
		misses = 0
		seq := binary.BigEndian.Uint64(it.Key()[1:])
		e, err := format.ViewEvent(seq, it.Value(), types)
		if err != nil {
			lost(seq, err)
		} else if !do(&e) {
			break
		}
		next = seq + 1
		ok = it.Next()
	}
	return nil
}
