package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"trackway/internal/durable"
	"trackway/internal/seal"
)

// state is the progress of the import of a file. It is stored beside the file,
// so that an interrupted import continues where it stopped.
type state struct {
	File    identity `json:"file"`
	Store   string   `json:"store"`   // name
	Project string   `json:"project"` // as it was named
	Mapping string   `json:"mapping"` // SHA-256
	Offset  int64    `json:"offset"`  // in the decompressed file; everything before it was acknowledged
	Rejects int64    `json:"rejects"` // bytes of the file of rejects that belong to it
	Totals  Totals   `json:"totals"`
	Done    bool     `json:"done"`
}

// identity tells whether a file is the one that was imported before.
type identity struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	Head     string    `json:"head"` // SHA-256 of the first bytes
}

func identify(path string) (identity, error) {
	const head = 64 << 10
	f, err := os.Open(path)
	if err != nil {
		return identity{}, err
	}
	defer func() { _ = f.Close() }() // what was read is read
	info, err := f.Stat()
	if err != nil {
		return identity{}, err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, head); err != nil && !errors.Is(err, io.EOF) {
		return identity{}, err
	}
	return identity{info.Size(), info.ModTime().UTC(), hex.EncodeToString(sum.Sum(nil))}, nil
}

// sum returns the SHA-256 of the mapping, for rows from a vendor.
func (m *Mapping) sum(from string) string {
	text, err := json.Marshal(m)
	if err != nil {
		panic("bug: a mapping cannot be written as JSON: " + err.Error())
	}
	sum := sha256.Sum256(append(text, from...))
	return hex.EncodeToString(sum[:])
}

// errChanged is wrapped by the errors that say why an import cannot continue
// where it stopped.
var errChanged = errors.New("use --again to import all of it from the beginning")

// loadState returns the progress of the import of a file. If there is no state
// at path, or if again is set, it returns begun.
func loadState(path string, begun state, again bool) (state, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || again && err == nil {
		return begun, nil
	} else if err != nil {
		return begun, err
	}
	var s state
	if !seal.Whole(text) || json.Unmarshal(text, &s) != nil {
		return begun, fmt.Errorf("%s is damaged, so the progress of the import is unknown; %w", path, errChanged)
	}
	switch {
	case s.File != begun.File:
		return begun, fmt.Errorf("the file has changed since its import was interrupted (says %s); %w", path, errChanged)
	case s.Store != begun.Store:
		return begun, fmt.Errorf("the import that was interrupted was into another store (says %s); %w", path, errChanged)
	case s.Project != begun.Project:
		return begun, fmt.Errorf("the import that was interrupted was into project %q (says %s); %w", s.Project, path, errChanged)
	case s.Mapping != begun.Mapping:
		return begun, fmt.Errorf("the mapping differs from the one before the interruption (says %s); %w", path, errChanged)
	}
	return s, nil
}

func (s *state) save(path string) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	const ownerOnly = 0o600
	return durable.Replace(path, append(seal.Add(text), '\n'), ownerOnly)
}

// rejects is the file of the refused rows. The first refused row creates it.
type rejects struct {
	path string
	file *os.File
	size int64
}

// openRejects continues a file that has size bytes. At the beginning of an
// import, size is 0, and it removes what an earlier import left.
func openRejects(path string, size int64) (*rejects, error) {
	r := &rejects{path: path, size: size}
	if size == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return r, nil
	}
	if err := r.open(); err != nil {
		return nil, err
	}
	_, err := r.file.Seek(size, io.SeekStart)
	return r, errors.Join(err, r.file.Truncate(size))
}

func (r *rejects) open() (err error) {
	const ownerOnly = 0o600 // it holds customers
	r.file, err = os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY, ownerOnly)
	return err
}

// rejected is a line of the file.
type rejected struct {
	Line  int64           `json:"line"`
	Field string          `json:"field,omitempty"`
	Error string          `json:"error"`
	Row   json.RawMessage `json:"row"`
	Raw   []byte          `json:"raw,omitempty"` // a row that is not UTF-8, which Row cannot hold; in base64
}

func (r *rejects) add(one rejected) error {
	if r.file == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	text, err := json.Marshal(one)
	if err != nil {
		return err
	}
	n, err := r.file.Write(append(text, '\n'))
	r.size += int64(n)
	return err
}

// sync returns once everything is on the disk.
func (r *rejects) sync() error {
	if r.file == nil {
		return nil
	}
	return r.file.Sync()
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}
