package store

import (
	"context"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Replica is a store as a log sees it that several servers share: the machine,
// with its methods. While it is used, nothing may change the store in any other
// way.
type Replica struct{ *machine }

// Replica returns the store as a shared log sees it.
func (s *Store) Replica() Replica { return Replica{&s.machine} }

// Checkpoint writes the store into dir, which it creates: tables as hard links,
// all else as copies.
func (r Replica) Checkpoint(dir string) error {
	return r.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// CheckReplica reads a whole checkpoint, which verifies the checksum of each
// block. It returns the index of the last entry that the checkpoint covers.
func CheckReplica(f vfs.FS, dir string) (index uint64, err error) {
	err = checkWhole(context.Background(), f, dir, func(s *Store) error {
		defer func() { index = s.Applied() }()
		return s.findApplied()
	})
	return index, err
}
