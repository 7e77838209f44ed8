package engine

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/format"
)

// CheckFormat returns the format version of a store. A new store has no
// version: 0. It refuses a version that this program does not read. It writes
// nothing.
func CheckFormat(db pebble.Reader) (version int, err error) {
	value, closer, err := db.Get([]byte(format.KeyFormat))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	found := string(value)
	if err := closer.Close(); err != nil {
		return 0, err
	}
	for version := format.Unkeyed; version <= format.Keyed; version++ {
		if found == strconv.Itoa(version) {
			return version, nil
		}
	}
	return 0, fmt.Errorf("the store has format version %q, this program reads versions %d and %d only: "+
		"export it with the build that wrote it (trackway export), then import it", found, format.Unkeyed, format.Keyed)
}
