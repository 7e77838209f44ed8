package follow

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/entry"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// SetNotes stages an entry, unless somebody else has the turn. last is the
// number of the last change.
func SetNotes(b Writer, from reading.Reader, e *entry.Notes, last uint64) (err error) {
	if e.Now, err = turn(from); err != nil {
		return err
	}
	switch e.Turn {
	case 0:
		e.Now++
		if err := b.Set([]byte(format.KeyTurn), binary.BigEndian.AppendUint64(nil, e.Now), nil); err != nil {
			return err
		}
	case e.Now:
	default:
		return nil
	}
	for _, c := range e.Cursors {
		if err := SetCursor(b, c.Name, c.Number, last); err != nil {
			return err
		}
	}
	for _, n := range e.Notes {
		key := format.Key(nil).Note(n.Name)
		if len(n.Value) == 0 {
			err = b.Delete(key, nil)
		} else {
			err = b.Set(key, n.Value, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// turn returns whose turn it is.
func turn(from reading.Reader) (uint64, error) {
	value, closer, err := from.Get([]byte(format.KeyTurn))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, errors.Join(format.ErrCorrupt, closer.Close())
	}
	return binary.BigEndian.Uint64(value), closer.Close()
}

// Notes returns the notes whose names begin with a prefix. Cost: a scan over
// them.
func Notes(from pebble.Reader, prefix string) (map[string][]byte, error) {
	lower, all := format.Key(nil).Note(prefix), make(map[string][]byte)
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: format.After(lower)})
	if err != nil {
		return nil, err
	}
	for it.First(); it.Valid(); it.Next() {
		all[string(it.Key()[len(format.PrefixNote):])] = bytes.Clone(it.Value())
	}
	return all, errors.Join(it.Error(), it.Close())
}
