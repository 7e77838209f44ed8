package reading

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/format"
)

// Reader is the source of records: a database, a snapshot or a transaction.
type Reader interface {
	Get(key []byte) (value []byte, closer io.Closer, err error)
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

// ErrStop ends a scan early; the scan does not return it.
var ErrStop = errors.New("stop")

// Scan calls do for each key with the prefix, in order. rest is the key without
// the prefix. Both arguments are valid only during the call.
func Scan(from Reader, prefix []byte, do func(rest, value []byte) error) error {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: format.After(prefix)})
	if err != nil {
		return err
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		err = do(it.Key()[len(prefix):], it.Value())
	}
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return errors.Join(err, it.Error(), it.Close())
}

// ScanRange calls do for the keys from low up to, but not including, high, in
// ascending or descending order. The key and the value are valid only during
// the call. [ErrStop] ends the scan.
func ScanRange(from Reader, low, high []byte, backwards bool, do func(key, value []byte) error) error {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return err
	}
	start, step := it.First, it.Next
	if backwards {
		start, step = it.Last, it.Prev
	}
	for ok := start(); ok && err == nil; ok = step() {
		err = do(it.Key(), it.Value())
	}
	if errors.Is(err, ErrStop) {
		err = nil
	}
	return errors.Join(err, it.Error(), it.Close())
}
