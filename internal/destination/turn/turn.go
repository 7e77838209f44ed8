// Package turn sees to it that one of several servers that keep the same store
// sends its changes. The servers agree on turns in their log. A note that a
// server writes there after its turn has no effect, however late it comes.
package turn

import (
	"errors"
	"sync"

	"trackway"
	"trackway/internal/entry"
)

// ErrLost says that another server sends now, or that none does.
var ErrLost = errors.New("this server does not send to the destinations: another one leads the cluster, or this one has only begun to")

// Store keeps notes, together with the state that the servers share.
type Store interface {
	// SetNotes has the servers agree on notes, and applies them.
	SetNotes(e *entry.Notes) error

	// Notes returns the notes whose names begin with a prefix.
	Notes(prefix string) (map[string][]byte, error)
}

// Turn is a turn that this server has taken. It is safe for concurrent use.
type Turn struct {
	store  Store
	number uint64
	once   sync.Once
	over   chan struct{}
}

// Take takes the turn. When it returns, this server has everything that others
// have written in theirs.
func Take(s Store) (*Turn, error) {
	e := new(entry.Notes)
	if err := s.SetNotes(e); err != nil {
		return nil, err
	}
	return &Turn{store: s, number: e.Now, over: make(chan struct{})}, nil
}

// Lose ends the turn. It may be called more than once.
func (t *Turn) Lose() { t.once.Do(func() { close(t.over) }) }

// Over returns a channel that is closed when the turn has ended. A nil turn
// never ends.
func (t *Turn) Over() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.over
}

// Ended reports whether the turn has ended, as far as this server knows.
func (t *Turn) Ended() bool {
	select {
	case <-t.Over():
		return true
	default:
		return false
	}
}

// Confirm asks the other servers whether the turn still lasts. Without a turn
// there is nothing to ask.
func (t *Turn) Confirm() error {
	if t == nil {
		return nil
	}
	return t.write(new(entry.Notes))
}

// SetCursor sets a cursor of the store.
func (t *Turn) SetCursor(name string, number uint64) error {
	return t.write(&entry.Notes{Cursors: []entry.Cursor{{Name: name, Number: number}}})
}

// Set sets notes; an empty value removes a note.
func (t *Turn) Set(notes ...trackway.Property) error {
	const most = 500 // in an entry
	for len(notes) > most {
		if err := t.write(&entry.Notes{Notes: notes[:most]}); err != nil {
			return err
		}
		notes = notes[most:]
	}
	return t.write(&entry.Notes{Notes: notes})
}

func (t *Turn) write(e *entry.Notes) error {
	if t == nil || t.Ended() {
		return ErrLost
	}
	e.Turn = t.number
	if err := t.store.SetNotes(e); err != nil {
		return err
	}
	if e.Now != t.number {
		t.Lose()
		return ErrLost
	}
	return nil
}
