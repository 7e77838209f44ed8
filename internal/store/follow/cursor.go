package follow

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/change"
	"trackway/internal/store/format"
)

// Writer receives the records of a batch.
type Writer interface {
	Set(key, value []byte, o *pebble.WriteOptions) error
	Delete(key []byte, o *pebble.WriteOptions) error
}

// SetCursor stages the position of a cursor: a number, but no higher than the
// last change. [change.NoCursor] removes the cursor.
func SetCursor(b Writer, name string, number, last uint64) error {
	key := format.Key(nil).Cursor(name)
	if number == change.NoCursor {
		return b.Delete(key, nil)
	}
	return b.Set(key, binary.BigEndian.AppendUint64(nil, min(number, last)), nil)
}

// Cursors returns the positions of all cursors by name. Cost: a scan over them.
func Cursors(from pebble.Reader) (map[string]uint64, error) {
	prefix := format.Key(nil).Cursor("")
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		return nil, err
	}
	cursors := make(map[string]uint64)
	for it.First(); it.Valid(); it.Next() {
		name, value := string(it.Key()[len(prefix):]), it.Value()
		if len(value) != 8 {
			err = fmt.Errorf("cursor %q: %w", name, format.ErrCorrupt)
			break
		}
		cursors[name] = binary.BigEndian.Uint64(value)
	}
	return cursors, errors.Join(err, it.Error(), it.Close())
}

// Lowest returns the position of the lowest cursor, or [change.NoCursor] if
// there is no cursor. Events beyond it must not be removed because of their
// age.
func Lowest(from pebble.Reader) (lowest uint64, err error) {
	cursors, err := Cursors(from)
	lowest = change.NoCursor
	for _, number := range cursors {
		lowest = min(lowest, number)
	}
	return lowest, err
}
