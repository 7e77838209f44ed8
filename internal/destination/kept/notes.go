package kept

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"trackway"
	"trackway/internal/destination/turn"
	"trackway/internal/durable"
)

// Record is what a destination keeps across restarts. It is safe for concurrent
// use.
type Record interface {
	Get() State

	// Set changes the state. It returns when the change cannot be lost any
	// more.
	Set(change func(*State)) error

	// Add adds rejects. If there are too many, it removes the oldest.
	Add(rejects []Reject) error

	// Rejects returns the last rejects, oldest first.
	Rejects() ([]Reject, error)
}

// Reject is a row that can never fit into a destination.
type Reject struct {
	Number uint64 `json:"number"` // of the event or change
	Table  string `json:"table"`  // events, customers, customer_ids, customer_map or erasures
	Reason string `json:"reason"` // without values
}

// Names of notes.
const (
	notes      = "destinations/"
	noteID     = notes + "id"
	noteState  = notes + "state/"   // and the name of a destination
	noteReject = notes + "rejects/" // and the name, the number and the table
)

func rejectsOf(name string) string { return noteReject + name + "/" }

// Notes is a [Record] in the state that several servers share. Without a turn,
// it can be read only.
type Notes struct {
	store turn.Store
	turn  *turn.Turn
	name  string

	mu      sync.Mutex // held while notes are written
	state   State
	rejects []string // names of notes, sorted; they hold no more than about mostRejects
}

// OpenNotes opens the notes of a destination. It calls reject with the reason
// of each reject.
func OpenNotes(s turn.Store, t *turn.Turn, name string, reject func(reason string)) (*Notes, error) {
	n := &Notes{store: s, turn: t, name: name}
	found, err := s.Notes(noteState + name)
	if err != nil {
		return nil, err
	}
	if text := found[noteState+name]; len(text) > 0 {
		if err := json.Unmarshal(text, &n.state); err != nil {
			return nil, fmt.Errorf("the state of destination %s: %w", name, err)
		}
	}
	kept, err := n.Rejects()
	for i := range kept {
		n.rejects = append(n.rejects, n.nameOf(&kept[i]))
		reject(kept[i].Reason)
	}
	return n, err
}

func (n *Notes) nameOf(r *Reject) string {
	return fmt.Sprintf("%s%020d/%s", rejectsOf(n.name), r.Number, r.Table)
}

// Get implements [Record].
func (n *Notes) Get() State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

// Set implements [Record].
func (n *Notes) Set(change func(*State)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	next := n.state
	change(&next)
	note, err := n.noteOf(next)
	if err == nil {
		err = n.turn.Set(note)
	}
	if err == nil {
		n.state = next
	}
	return err
}

func (n *Notes) noteOf(s State) (trackway.Property, error) {
	text, err := json.Marshal(s)
	return trackway.Property{Name: noteState + n.name, Value: text}, err
}

// Add implements [Record]. A reject that was noted before, perhaps by another
// server, is noted once.
func (n *Notes) Add(rejects []Reject) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := slices.Clone(n.rejects)
	var set []trackway.Property
	for i := range rejects[max(len(rejects)-mostRejects, 0):] {
		text, err := json.Marshal(&rejects[i])
		if err != nil {
			return err
		}
		name := n.nameOf(&rejects[i])
		set = append(set, trackway.Property{Name: name, Value: text})
		if at, known := slices.BinarySearch(names, name); !known {
			names = slices.Insert(names, at, name)
		}
	}
	if more := len(names) - mostRejects; more > 0 {
		for _, name := range names[:more] {
			set = append(set, trackway.Property{Name: name})
		}
		names = names[more:]
	}
	if err := n.turn.Set(set...); err != nil {
		return err
	}
	n.rejects = names
	return nil
}

// Rejects implements [Record].
func (n *Notes) Rejects() (rejects []Reject, err error) {
	found, err := n.store.Notes(rejectsOf(n.name))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var r Reject
		if err := json.Unmarshal(found[name], &r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		rejects = append(rejects, r)
	}
	return rejects, nil
}

// firstID is the name of the file with the id of a store that stood alone
// before a cluster began with it. The first leader moves everything about
// destinations from files into notes, and removes this one.
const firstID = "id.first"

// Entrust prepares the files of destinations of a store that stood alone, and
// that becomes the first one of a cluster. A store without an id gets one: if
// it was restored from a backup, it may have the notes of another cluster.
func Entrust(dir string) error {
	if err := os.MkdirAll(dir, ownerOnlyDir); err != nil {
		return err
	}
	if _, err := StoreID(dir); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, "id"), filepath.Join(dir, firstID))
}

// Entrusted reports whether the directory has what [Entrust] has prepared.
func Entrusted(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, firstID))
	return err == nil
}

// Forsake removes what [Entrust] has prepared: this server joins a cluster that
// another one has begun, so its own files say nothing about the cluster's
// destinations.
func Forsake(dir string) error {
	err := os.Remove(filepath.Join(dir, firstID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Renew prepares another id for a store that goes on without its newest
// changes: destinations may have them, and others come under their numbers. It
// returns a function that undoes this.
func Renew(dir string) (undo func(), err error) {
	path := filepath.Join(dir, firstID)
	if Entrusted(dir) {
		return func() {}, nil // the id changes anyway
	}
	if err := os.MkdirAll(dir, ownerOnlyDir); err != nil {
		return nil, err
	}
	if err := durable.Create(path, []byte(newID()+keepNotes+"\n"), ownerOnly); err != nil {
		return nil, err
	}
	return func() { _ = os.Remove(path) }, nil
}

// keepNotes says, after the id in a file, that the notes are those of the same
// cluster.
const keepNotes = " renewed"

// Identify returns the id of the store that several servers share.
func Identify(s turn.Store, t *turn.Turn, dir string) (string, error) {
	found, err := s.Notes(notes)
	if err != nil {
		return "", err
	}
	id := string(found[noteID])
	path := filepath.Join(dir, firstID)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if id != "" {
			return id, nil
		}
		id = newID()
		return id, t.Set(trackway.Property{Name: noteID, Value: []byte(id)})
	case err != nil:
		return "", err
	}
	first, keep := strings.CutSuffix(strings.TrimSpace(string(text)), keepNotes)
	var set []trackway.Property
	if !keep && first != id {
		for name := range found { // of another cluster
			set = append(set, trackway.Property{Name: name})
		}
		moved, err := filed(s, dir)
		if err != nil {
			return "", err
		}
		set = append(set, moved...)
	}
	if err := t.Set(append(set, trackway.Property{Name: noteID, Value: []byte(first)})...); err != nil {
		return "", err
	}
	return first, os.Remove(path)
}

// filed returns notes with what the files of destinations hold.
func filed(s turn.Store, dir string) (set []trackway.Property, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		f, err := OpenFiles(filepath.Join(dir, e.Name()), func(string) {})
		if err != nil {
			return nil, err
		}
		n := &Notes{store: s, name: e.Name()}
		note, err := n.noteOf(f.Get())
		if err != nil {
			return nil, err
		}
		set = append(set, note)
		err = f.read(func(r *Reject, _ []byte) {
			text, _ := json.Marshal(r) // a number and texts: it cannot fail
			set = append(set, trackway.Property{Name: n.nameOf(r), Value: text})
		})
		if err != nil {
			return nil, err
		}
	}
	return set, nil
}
