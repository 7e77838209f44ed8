package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway/internal/store/journal"
)

// syncedName is the file in the store's directory that records how far the
// write-ahead log was synced.
const syncedName = "SYNCED"

// synced keeps how far the write-ahead log was synced, in memory and in a file.
// It writes the file after each sync of the log, before the callers that wait
// for the sync return. The file itself is not synced: it is exact after the
// process is killed, and at worst too low after a power cut.
type synced struct {
	fs     vfs.FS
	name   string
	report func(name string, err error)

	mu     sync.Mutex
	mark   journal.Mark
	file   vfs.File
	failed bool
	buf    [journal.MarkLen]byte
}

// load reads the file. A missing or empty file says nothing. A damaged one is
// reported, and also says nothing.
func (s *synced) load() error {
	f, err := s.fs.Open(s.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	n, err := io.ReadFull(f, s.buf[:])
	if err := f.Close(); err != nil {
		return err
	}
	if errors.Is(err, io.EOF) || s.buf == [journal.MarkLen]byte{} {
		return nil // a power cut came before it was written
	}
	m, ok := journal.DecodeMark(s.buf[:n])
	if !ok {
		s.report(s.name, errors.New("it does not say how far the write-ahead log was synced"))
	}
	s.mark = m
	return nil
}

// set records that a log is synced up to an offset. If the file cannot be
// written, set reports that once, and the log continues. The only risk is that
// later damage to the log goes unnoticed.
func (s *synced) set(m journal.Mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !m.After(s.mark) {
		return
	}
	s.mark = m
	if err := s.writeLocked(); err != nil && !s.failed {
		s.failed = true
		s.report(s.name, fmt.Errorf("note how far the write-ahead log is synced: %w", err))
	}
}

func (s *synced) writeLocked() (err error) {
	if s.file == nil {
		if s.file, err = s.fs.OpenReadWrite(s.name, "trackway-synced"); err != nil {
			s.file = nil
			return err
		}
	}
	_, err = s.file.WriteAt(s.mark.Append(s.buf[:0]), 0)
	return err
}

// latest returns how far the log was synced.
func (s *synced) latest() journal.Mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark
}

func (s *synced) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return f.Close()
}
