package store

import "errors"

// errFull is why a store with a full disk is not ready.
var errFull = errors.New("the disk is full: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")

// Ready returns nil while what is stored has room on the disk, and else why not. It asks no disk: it tells how the last write of a table
// went.
func (s *Store) Ready() error {
	if s.full.Load() {
		return errFull
	}
	return nil
}

// setFull notes that the disk has become full, or that it has room again.
func (s *Store) setFull(full bool) {
	s.full.Store(full)
	if full {
		s.log.Error("the disk is full: free some space; nothing that was acknowledged is lost", "dir", s.dir)
	} else {
		s.log.Info("the disk has room again", "dir", s.dir)
	}
}
