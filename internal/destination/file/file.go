// Package file is the destination that writes into a folder: NDJSON that can be
// followed with tail, or Parquet. internal/destination/object describes the
// content of the folder. Everything is on the disk before a call returns, and
// only one process at a time writes into the folder.
package file

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/object"
)

// Sink writes into a folder. Each call locks the folder, so that the states of
// two processes do not get mixed. Between two calls, another process may take
// the folder over; then this one is refused.
type Sink struct {
	*object.Sink

	folder *folder
}

// New checks the settings and opens nothing. store is the store's id.
func New(d config.Destination, store string) (*Sink, error) {
	return newSink(d, store, func(string) error { return nil })
}

func newSink(d config.Destination, store string, step func(op string) error) (*Sink, error) {
	if d.Path == "" {
		return nil, errors.New("path: the folder is missing")
	}
	f := &folder{root: filepath.Clean(d.Path), step: step}
	s, err := object.New(d, f, object.Options{Store: store, Place: f.root})
	if err != nil {
		return nil, err
	}
	return &Sink{Sink: s, folder: f}, nil
}

// Prepare creates the folder if it is missing, takes it over, and removes what
// a crash left behind.
func (s *Sink) Prepare(ctx context.Context) (p destination.Position, err error) {
	if err := s.folder.makeRoot(); err != nil {
		return destination.Position{}, err
	}
	err = s.locked(func() error {
		if err := s.folder.removeUnfinished(); err != nil {
			return err
		}
		p, err = s.Sink.Prepare(ctx)
		return err
	})
	return p, err
}

// Write implements [destination.Sink].
func (s *Sink) Write(ctx context.Context, b *destination.Batch) (rejects []destination.Reject, err error) {
	err = s.locked(func() error {
		rejects, err = s.Sink.Write(ctx, b)
		return err
	})
	return rejects, err
}

// Check implements [destination.Sink].
func (s *Sink) Check(ctx context.Context) error {
	return s.locked(func() error { return s.Sink.Check(ctx) })
}

// Rewind implements [destination.Sink].
func (s *Sink) Rewind(ctx context.Context, to destination.Position) error {
	return s.locked(func() error { return s.Sink.Rewind(ctx, to) })
}

// Events implements [destination.Reader].
func (s *Sink) Events(ctx context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	return s.locked(func() error { return s.Sink.Events(ctx, low, high, yield) })
}

// Mend implements [destination.Reader].
func (s *Sink) Mend(ctx context.Context, low, high uint64, events []destination.Event) error {
	return s.locked(func() error { return s.Sink.Mend(ctx, low, high, events) })
}

var errLocked = errors.New("another process is writing into the folder")

// locked runs do while no other process uses the folder. The lock ends with the
// process.
func (s *Sink) locked(do func() error) error {
	lock, err := os.OpenFile(s.folder.path(lockName), os.O_RDWR|os.O_CREATE, perm) //nolint:gosec // the operator names the folder
	if err != nil {
		return err
	}
	if err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		err = errLocked
	}
	if err == nil {
		// If this process is just starting a program, that program has the file
		// open for a moment, too. Closing the file would then not end the lock
		// at once.
		err = errors.Join(do(), syscall.Flock(int(lock.Fd()), syscall.LOCK_UN))
	}
	return errors.Join(err, lock.Close())
}
