package store

import (
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/entry"
)

// Replica is a store as a log sees it that several servers share: the machine,
// with its methods. While it is used, nothing may change the store in any other
// way.
type Replica struct{ *machine }

// Replica returns the store as a shared log sees it.
func (s *Store) Replica() Replica { return Replica{&s.machine} }

// Apply carries out an entry that most servers have on their disks. So it shows
// the changes to followers, whether or not they are on this server's disk.
func (r Replica) Apply(index uint64, e entry.Entry) error {
	if err := r.machine.Apply(index, e); err != nil {
		return err
	}
	r.synced.Raise(r.committed.Load())
	r.counts.SaveSoon()
	return nil
}

// Checkpoint writes the store into dir, which it creates: tables as hard links,
// all else as copies.
func (r Replica) Checkpoint(dir string) error {
	return r.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// CheckReplica opens a checkpoint, whose files [engine.CheckFile] has checked:
// none is missing, and the newest entries can be read. It returns the index of
// the last entry that the checkpoint covers. f may be nil, for the operating
// system's files.
func CheckReplica(f vfs.FS, dir string) (index uint64, err error) {
	if f == nil {
		f = vfs.Default
	}
	err = checkStore(f, dir, func(s *Store) error {
		defer func() { index = s.Applied() }()
		return s.findApplied()
	})
	return index, err
}
