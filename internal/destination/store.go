package destination

import (
	"context"
	"iter"

	"trackway/internal/change"
	"trackway/internal/query"
)

// Store is the store whose changes are sent. It is safe for concurrent use.
type Store interface {
	changes
	cursors

	// Snapshot returns the store in its present state, which may not be on the
	// disk yet. An open snapshot delays the store's clean-up.
	Snapshot() query.Snapshot

	// Unreadable reports whether an error says that a part of the store is
	// permanently damaged, so that reading it again is useless.
	Unreadable(err error) bool

	// Erasures lists a project's erasures, newest first.
	Erasures(project uint32) ([]query.Erasure, error)
}

// changes are the numbered changes of a store.
type changes interface {
	// Synced returns the number up to which all changes are on the disk.
	Synced() uint64

	// Await waits until a change above a number is on the disk. It returns
	// false if ctx ends first.
	Await(ctx context.Context, number uint64) bool

	// Changes iterates over the durable changes after one number, up to
	// another, in order and in batches. Callers may keep them. An error ends
	// the iteration; a change that cannot be read does not.
	Changes(after, through uint64) iter.Seq2[[]change.Change, error]

	// Sync returns when everything that a snapshot has shown is on the disk.
	Sync() error
}

// cursors are positions that the store keeps. No event expires before the
// lowest cursor has passed it.
type cursors interface {
	// SetCursor sets a cursor, or removes it if number is [change.NoCursor].
	SetCursor(name string, number uint64) error

	// Cursors returns all cursors by name.
	Cursors() (map[string]uint64, error)
}

// cursorName returns the name of a destination's cursor in the store.
func cursorName(destination string) string { return "destination/" + destination }
