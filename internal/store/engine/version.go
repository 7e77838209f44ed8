package engine

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/format"
)

// CheckFormat reports whether a store has a format version. A new store has no
// version. It refuses every version but the wanted one. It writes nothing.
func CheckFormat(db pebble.Reader, want int) (known bool, err error) {
	value, closer, err := db.Get([]byte(format.KeyFormat))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	found := string(value)
	if err := closer.Close(); err != nil {
		return false, err
	}
	if found != strconv.Itoa(want) {
		return false, fmt.Errorf("the store has format version %q, this program reads version %d only: "+
			"export it with the build that wrote it (trackway export), then import it", found, want)
	}
	return true, nil
}
