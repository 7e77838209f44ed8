package registry

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/siphash"
	"trackway/internal/store/engine"
	"trackway/internal/store/format"
	"trackway/internal/store/timeline"
)

// HashKey returns the key under which a store hashes contents, or nil if it has
// none.
func HashKey(db pebble.Reader) (*timeline.Key, error) {
	found, err := engine.CheckFormat(db)
	if err != nil || found != format.Keyed {
		return nil, err
	}
	secret, err := read(db, []byte(format.KeyHash))
	if err != nil {
		return nil, err
	}
	if len(secret) != siphash.KeyBytes {
		return nil, fmt.Errorf("the key of hashes: %w", format.ErrCorrupt)
	}
	return timeline.NewKey([siphash.KeyBytes]byte(secret)), nil
}

// DrawKey appends a random key, unless a server that shares the log may not be
// able to read that: then the store has none.
func DrawKey(appendEntry func(entry.Entry) error) error {
	var e entry.HashKey
	_, _ = rand.Read(e.Key[:]) // never fails
	if err := appendEntry(&e); err != nil && !errors.Is(err, version.ErrNotRead) {
		return fmt.Errorf("give the store a key: %w", err)
	}
	return nil
}

// SetHashKey stores the key, and the version that says so: programs that do not
// know the key refuse the store. REQUIRES: there are no events.
func SetHashKey(b Writer, e *entry.HashKey) (*timeline.Key, error) {
	if err := b.Set([]byte(format.KeyFormat), strconv.AppendInt(nil, format.Keyed, 10), nil); err != nil {
		return nil, err
	}
	return timeline.NewKey(e.Key), b.Set([]byte(format.KeyHash), e.Key[:], nil)
}
