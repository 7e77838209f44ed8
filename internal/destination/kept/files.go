// Package kept holds what a destination keeps across restarts: its state, and
// the rows that it has rejected. A server that stands alone keeps them in
// files. Servers that share a store keep them in its notes.
package kept

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"trackway/internal/durable"
	"trackway/internal/seal"
)

const (
	ownerOnly    = 0o600
	ownerOnlyDir = 0o700

	mostRejects = 10_000 // that are kept
)

// StoreID returns the id of the store whose data directory contains dir. The id
// is created once, and is not in any backup. A store that was restored from a
// backup has other changes under the same numbers, so destinations must be able
// to distinguish it.
func StoreID(dir string) (string, error) {
	path := filepath.Join(dir, "id")
	id := newID()
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		// Perhaps no cluster has begun with this store after all.
		_ = os.Rename(filepath.Join(dir, firstID), path)
	}
	err := durable.Create(path, fmt.Appendln(nil, id), ownerOnly)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	found := strings.TrimSpace(string(text))
	if b, err := hex.DecodeString(found); err != nil || len(b) != idBytes {
		return "", fmt.Errorf("%s: the content must be 16 bytes in hexadecimal digits: restore the file, or remove it and then rewind each destination", path)
	}
	return found, nil
}

const idBytes = 16

// newID returns the id of a new store.
func newID() string {
	id := make([]byte, idBytes)
	_, _ = rand.Read(id) // never fails
	return hex.EncodeToString(id)
}

// Files holds the files of a destination: its state, and the rows that it has
// rejected. It is safe for concurrent use.
type Files struct {
	dir string

	mu      sync.Mutex // held while files are written
	state   State
	rejects int // lines in the file
}

// State is what operators and the engine have decided.
type State struct {
	Paused   bool     `json:"paused"`
	First    uint64   `json:"first,omitempty"`    // it began after this change
	Missed   uint64   `json:"missed,omitempty"`   // events that expired before they were sent
	Position *uint64  `json:"position,omitempty"` // the destination was removed from the configuration
	Erasures []uint64 `json:"erasures,omitempty"` // erasures that were passed to the destination as not done yet
}

// OpenFiles opens the files in a folder of their own, and creates the folder if
// it does not exist. It calls reject with the reason of each stored reject.
func OpenFiles(dir string, reject func(reason string)) (*Files, error) {
	if err := os.MkdirAll(dir, ownerOnlyDir); err != nil {
		return nil, err
	}
	f := &Files{dir: dir}
	text, err := os.ReadFile(f.statePath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case !seal.Whole(text):
		return nil, fmt.Errorf("%s is damaged: remove it, and pause the destination again if it was paused", f.statePath())
	default:
		if err := json.Unmarshal(text, &f.state); err != nil {
			return nil, fmt.Errorf("%s: %w", f.statePath(), err)
		}
	}
	return f, f.read(func(r *Reject, _ []byte) { f.rejects++; reject(r.Reason) })
}

func (f *Files) statePath() string   { return filepath.Join(f.dir, "state.json") }
func (f *Files) rejectsPath() string { return filepath.Join(f.dir, "rejects.ndjson") }

// Get implements [Record].
func (f *Files) Get() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Set implements [Record].
func (f *Files) Set(change func(*State)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.state
	change(&next)
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := durable.Replace(f.statePath(), append(seal.Add(text), '\n'), ownerOnly); err != nil {
		return err
	}
	f.state = next
	return nil
}

// Add implements [Record]. If the file becomes too long, it removes the
// oldest. If a crash or a full disk has left a part of a line, the new rejects
// begin on a new line.
func (f *Files) Add(rejects []Reject) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []byte
	for i := range rejects {
		text, err := json.Marshal(&rejects[i])
		if err != nil {
			return err
		}
		lines = append(append(lines, seal.Add(text)...), '\n')
	}
	file, err := os.OpenFile(f.rejectsPath(), os.O_APPEND|os.O_CREATE|os.O_RDWR, ownerOnly)
	if err != nil {
		return err
	}
	if torn(file) {
		lines = append([]byte{'\n'}, lines...)
	}
	_, err = file.Write(lines)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if f.rejects += len(rejects); f.rejects <= 2*mostRejects {
		return nil
	}
	kept := f.rejects - mostRejects // of this index and later
	f.rejects = 0
	return durable.ReplaceWith(f.rejectsPath(), ownerOnly, func(w io.Writer) error {
		i := 0
		var failed error
		err := f.read(func(_ *Reject, line []byte) {
			if i++; i > kept {
				f.rejects++
				_, err := fmt.Fprintf(w, "%s\n", line)
				failed = errors.Join(failed, err)
			}
		})
		return errors.Join(err, failed)
	})
}

// torn reports whether a file ends in the middle of a line.
func torn(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}

// Rejects implements [Record].
func (f *Files) Rejects() (rejects []Reject, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	err = f.read(func(r *Reject, _ []byte) { rejects = append(rejects, *r) })
	return rejects[max(len(rejects)-mostRejects, 0):], err
}

// read calls do for each complete line of the rejects. A crash may have left a
// part of a line, and a power cut any number of zero bytes.
func (f *Files) read(do func(r *Reject, line []byte)) error {
	file, err := os.Open(f.rejectsPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // what was read is read
	const mostLine = 64 << 10
	for lines := bufio.NewReaderSize(file, mostLine); ; {
		line, err := lines.ReadSlice('\n') // with ErrBufferFull, a part of something that is not a line
		line = bytes.TrimSuffix(line, []byte{'\n'})
		var r Reject
		if seal.Whole(line) && json.Unmarshal(bytes.Clone(line), &r) == nil {
			do(&r, line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
