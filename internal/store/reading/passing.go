package reading

import (
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/format"
)

// Through a block that is lost, of some hundreds of events, the next one that can be read is looked for number by number. Where it goes on,
// a whole file is lost, of millions perhaps: then in strides, and number by number only where a stride leads out of it.
const (
	patience = 4096 // events in a row
	stride   = 1024
)

// Log calls do for the events of the log from a sequence number up to, not including, another, in order, until do returns false. The
// event is valid only during the call.
//
// What cannot be read is passed over, and lost is told of each number there. In a file that is lost fewer than stride events that can be
// read, between two that cannot, may be taken for lost, too.
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
			if err == nil {
				return nil
			}
			n := uint64(1)
			if misses++; misses > patience && high-next > stride && !it.SeekGE(format.AppendLogKey(nil, next+stride)) && it.Error() != nil {
				n = stride
			}
			for ; n > 0; n-- {
				lost(next, err)
				next++
			}
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
