package store

import (
	"errors"
	"fmt"
	"syscall"

	"trackway/internal/store/engine"
)

// ErrDamagedLog is returned by [Open] if something is missing in the write-ahead
// log that was acknowledged. See [Salvage].
var ErrDamagedLog = engine.ErrDamagedLog

// Why a store that cannot write is not ready.
var (
	errFull  = errors.New("the disk is full: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")
	errFiles = errors.New("too many files are open: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")
)

// Ready returns nil while what is stored can be written, and else why it cannot.
// It asks no disk: it tells how the last write went.
func (s *Store) Ready() error {
	err := s.stuck.Load()
	switch {
	case err == nil:
		return nil
	case isFull(*err):
		return errFull
	case isFiles(*err):
		return errFiles
	}
	return fmt.Errorf("tables cannot be written: %w", *err)
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func isFiles(err error) bool { return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) }

func (s *Store) diskFull() bool {
	err := s.stuck.Load()
	return err != nil && isFull(*err)
}

// setStuck notes why nothing can be written, or that it can be again.
func (s *Store) setStuck(err error) {
	if err == nil {
		s.stuck.Store(nil)
		s.log.Info("the store can write again", "dir", s.dir)
		return
	}
	s.stuck.Store(&err)
	switch {
	case isFull(err):
		s.log.Error("the disk is full: free some space; nothing that was acknowledged is lost", "dir", s.dir)
	case isFiles(err):
		s.log.Error("too many files are open: raise the limit, or close connections; nothing that was acknowledged is lost", "dir", s.dir, "err", err.Error())
	default:
		s.log.Error("the store cannot write: it is tried again each second; nothing that was acknowledged is lost", "dir", s.dir, "err", err.Error())
	}
}
