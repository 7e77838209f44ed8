package object

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"trackway/internal/destination"
	"trackway/internal/seal"
)

// stateName is the object that marks a place as a destination's.
const stateName = "trackway.json"

// state is the content of stateName. It is written after everything that it
// claims to exist, except for Pending.
type state struct {
	Version     int    `json:"trackway"`
	Destination string `json:"destination"`
	Format      string `json:"format"`
	Store       string `json:"store"`  // empty: no batch has been written yet
	Number      uint64 `json:"number"` // number of the last change that is here

	// High is the Number before a rewind, if that was higher. Rows up to High
	// are here, and are replaced when they come again.
	High uint64 `json:"high,omitempty"`

	// Writer is the sink that may write. A sink that finds another one here has
	// been replaced.
	Writer string `json:"writer"`

	// Pending lists the objects that are being written. After a crash they may
	// have rows beyond the position.
	Pending []pending `json:"pending,omitempty"`

	// Cutting says that rows after Number are being removed.
	Cutting bool `json:"cutting,omitempty"`

	Mark string `json:"mark"` // differs each time: see Options.Late
}

// pending is an object that is being written.
type pending struct {
	Table string `json:"table"`
	Part  string `json:"part"`
	Name  string `json:"name"`
	Was   *entry `json:"was,omitempty"` // nil: the object is new
}

// limit returns the highest number of a row that may be here.
func (st *state) limit() uint64 { return max(st.Number, st.High) }

func newMark() string { return rand.Text() }

// load reads the state. It is nil if the object does not exist.
func (s *Sink) load(ctx context.Context) (st *state, tag string, err error) {
	data, tag, err := s.bucket.Get(ctx, stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read %s: %w", stateName, err)
	}
	st = &state{}
	if !seal.Whole(data) || json.Unmarshal(data, st) != nil {
		return nil, "", final("%s is damaged: its checksum does not match. Restore it, or use another place", stateName)
	}
	switch {
	case st.Version != version:
		return nil, "", final("%s is of version %d, and this Trackway writes version %d", stateName, st.Version, version)
	case st.Destination != s.name:
		return nil, "", final("this place belongs to the destination %q: give this destination another one (path, or bucket and prefix)", st.Destination)
	case st.Format != s.formatName:
		return nil, "", final("this place was created with the format %s: set that format again, or use another place", st.Format)
	}
	return st, tag, nil
}

const version = 1

// save writes the state, if the stored state is the one that this sink knows.
func (s *Sink) save(ctx context.Context, change func(st *state)) error {
	st := *s.state
	change(&st)
	st.Mark = newMark()
	data, err := sealed(&st)
	if err != nil {
		return err
	}
	var tag string
	if s.tag == "" {
		tag, err = s.bucket.Create(ctx, stateName, data)
	} else {
		tag, err = s.bucket.Replace(ctx, stateName, s.tag, data)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", stateName, err)
	}
	s.state, s.tag = &st, tag
	return nil
}

func sealed(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(seal.Add(data), '\n'), nil
}

func final(format string, args ...any) error {
	return &destination.FinalError{Err: fmt.Errorf(format, args...)}
}
