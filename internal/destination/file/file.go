// Package file is the destination that writes into a folder: NDJSON that can be
// followed with tail, or Parquet. internal/destination/object says what is in
// it. Everything is on the disk before a call returns, and one process at a time
// writes into the folder.
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

// Sink writes into a folder.
type Sink struct {
	*object.Sink

	folder *folder
	lock   *os.File // nil: this process has not locked the folder
}

// New checks the settings and opens nothing.
func New(d config.Destination) (*Sink, error) {
	return newSink(d, func(string) error { return nil })
}

func newSink(d config.Destination, step func(op string) error) (*Sink, error) {
	if d.Path == "" {
		return nil, errors.New("path: the folder is missing")
	}
	f := &folder{root: filepath.Clean(d.Path), step: step}
	s, err := object.New(d, f, object.Options{Place: f.root})
	if err != nil {
		return nil, err
	}
	return &Sink{Sink: s, folder: f}, nil
}

// Prepare creates the folder if it is missing, and locks it for this process.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	if err := s.open(); err != nil {
		return destination.Position{}, err
	}
	return s.Sink.Prepare(ctx)
}

var errLocked = errors.New("another process writes into the folder")

// open locks the folder, and removes files that a crash left unfinished.
func (s *Sink) open() error {
	if s.lock != nil {
		if _, err := os.Stat(s.folder.path(lockName)); err == nil {
			return nil
		}
		// Somebody removed the folder. A lock on a file without a name keeps
		// nobody out.
		if err := s.Close(); err != nil {
			return err
		}
	}
	if err := s.folder.makeRoot(); err != nil {
		return err
	}
	lock, err := os.OpenFile(s.folder.path(lockName), os.O_RDWR|os.O_CREATE, perm)
	if err != nil {
		return err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errLocked
		}
		return errors.Join(err, lock.Close())
	}
	if err := s.folder.removeUnfinished(); err != nil {
		return errors.Join(err, lock.Close())
	}
	s.lock = lock
	return nil
}

// Close unlocks the folder.
func (s *Sink) Close() error {
	if s.lock == nil {
		return nil
	}
	err := s.lock.Close()
	s.lock = nil
	return err
}
