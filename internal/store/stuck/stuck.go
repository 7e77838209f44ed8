// Package stuck records whether a store can write, and if not, why. New events
// wait until it can.
package stuck

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"trackway/internal/store/engine"
)

var (
	errFull  = errors.New("the disk is full: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")
	errFiles = errors.New("too many files are open: what is tracked is kept in the write-ahead log and in memory, and waits when that is full, too")
)

// State is the result of a store's last write. It is safe for concurrent use.
type State struct {
	log *slog.Logger
	why atomic.Pointer[error] // nil: it can write
}

// New returns the state of a store that can write. It logs changes of the
// state.
func New(log *slog.Logger) *State { return &State{log: log} }

// Why returns nil while the store can write, and otherwise the reason it
// cannot. It does not access the disk.
func (s *State) Why() error {
	err := s.why.Load()
	switch {
	case err == nil:
		return nil
	case engine.NoSpace(*err):
		return errFull
	case engine.NoFiles(*err):
		return errFiles
	}
	return fmt.Errorf("tables cannot be written: %w", *err)
}

// Full reports whether the disk is full.
func (s *State) Full() bool {
	err := s.why.Load()
	return err != nil && engine.NoSpace(*err)
}

// Set records why the store cannot write. A nil err means that it can write
// again.
func (s *State) Set(err error) {
	if err == nil {
		s.why.Store(nil)
		s.log.Info("the store can write again")
		return
	}
	s.why.Store(&err)
	switch {
	case engine.NoSpace(err):
		s.log.Error("the disk is full: free some space; nothing that was acknowledged is lost")
	case engine.NoFiles(err):
		s.log.Error("too many files are open: raise the limit, or close connections; nothing that was acknowledged is lost", "err", err.Error())
	default:
		s.log.Error("the store cannot write: it is tried again each second; nothing that was acknowledged is lost", "err", err.Error())
	}
}
