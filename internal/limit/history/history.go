// Package history records how the rate limits, the trusted proxies and the keys
// changed over time. It compares the configuration that comes into force with
// the previous one, even if the server was stopped in between, and writes the
// differences to a file. It decides nothing about limits, and it
// does not undo a change.
//
// The file holds one change per line, as JSON with a checksum. Each change
// replaces the whole file: limits change rarely, and the file is kept small. A
// damaged line is moved to a file of its own, and the configuration in force is
// recorded again.
package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"trackway"
	"trackway/internal/durable"
	"trackway/internal/seal"
)

// File is the name of the file, in the data directory and in a directory of
// backups. Damaged lines are kept in a file of this name plus DamagedSuffix,
// until somebody removes it.
const (
	File          = "limits.jsonl"
	DamagedSuffix = ".damaged"
)

// Change is one difference.
type Change struct {
	At     time.Time `json:"at"` // whole seconds, UTC
	What   Kind      `json:"what"`
	Policy string    `json:"policy"` // its name; empty if the change is about no policy
	// For says whom an override is for: "address 203.0.113.0/24", "project
	// <token>" or "key <name>". For a changed key it names the key.
	For string `json:"for,omitempty"`
	// Old is a [Policy], [Override], [Proxies] or [Key], or null if it did not
	// exist.
	Old json.RawMessage `json:"old"`
	New json.RawMessage `json:"new"` // as Old; null if it no longer exists
}

// Kind says what was changed.
type Kind string

// The kinds of change.
const (
	OfPolicy   Kind = "policy"
	OfOverride Kind = "override"
	OfProxies  Kind = "proxies"
	OfKey      Kind = "key"
)

// item names the subject of a change.
type item struct {
	what        Kind
	policy, who string
}

func (c *Change) item() item { return item{c.What, c.Policy, c.For} }

// kept is how many changes are remembered. The last change of each setting in
// force is never dropped: it says since when the setting has applied.
const kept = 1000

// Log is the file and its content. It is safe for concurrent use.
type Log struct {
	path string
	keep int

	mu      sync.Mutex // guards the fields below; held during writes, as limits change rarely
	changes []Change   // the oldest first
	last    map[item]Change
	damaged []int // lines, counted from 1, that Open put aside
}

const ownerOnly = 0o600 // the files hold addresses of callers

// Open reads the file at path, if there is one. It puts damaged lines aside:
// see [Log.Damaged].
func Open(path string) (*Log, error) {
	l := &Log{path: path, keep: kept}
	text, err := os.ReadFile(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = l.read(text)
	}
	if err != nil {
		return nil, fmt.Errorf("open the record of changed limits: %w", err)
	}
	return l, nil
}

// read takes in the good lines of the file and puts the bad ones aside.
func (l *Log) read(text []byte) error {
	var good []Change
	var bad []byte
	for n := 1; len(text) > 0; n++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		var c Change
		if !seal.Whole(line) || json.Unmarshal(line, &c) != nil {
			l.damaged = append(l.damaged, n)
			bad = append(append(bad, line...), '\n')
			continue
		}
		good = append(good, c)
	}
	l.setLocked(good)
	if len(bad) == 0 {
		return nil
	}
	aside := l.path + DamagedSuffix
	before, err := os.ReadFile(aside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.Replace(aside, append(before, bad...), ownerOnly); err != nil {
		return err
	}
	return l.save(good) // a crash before this leaves the bad lines in both files
}

func (l *Log) setLocked(changes []Change) {
	l.changes, l.last = changes, make(map[item]Change)
	for _, c := range changes {
		l.last[c.item()] = c
	}
}

// save replaces the file. If it fails, the file holds either the old content or
// the new one.
func (l *Log) save(changes []Change) error {
	var text bytes.Buffer
	for _, c := range changes {
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		text.Write(append(seal.Add(line), '\n'))
	}
	return durable.Replace(l.path, text.Bytes(), ownerOnly)
}

// Damaged returns the lines of the file, counted from 1, that Open put aside as
// damaged.
func (l *Log) Damaged() []int { return l.damaged }

// Record notes the differences between the last recorded configuration and the
// one that comes into force now. When it returns nil, they are on the disk.
// After an error it has recorded nothing, and the next call records the change.
// If nothing differs, it touches no file.
func (l *Log) Record(now time.Time, policies []trackway.Policy, overrides []trackway.Override, access Access) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := l.compareLocked(now.UTC().Truncate(time.Second), append(settings(policies, overrides), access.settings()...))
	if len(changes) == 0 {
		return nil
	}
	next := trimmed(slices.Concat(l.changes, changes), l.keep)
	if err := l.save(next); err != nil {
		return fmt.Errorf("record the change of limits: %w", err)
	}
	l.setLocked(next)
	return nil
}

// compareLocked returns the changes that turn the recorded state into next.
func (l *Log) compareLocked(now time.Time, next []setting) []Change {
	var changes []Change
	there := make(map[item]bool, len(next))
	for _, s := range next {
		there[s.item] = true
		if old := l.last[s.item].New; !same(old, s.value) {
			changes = append(changes, Change{now, s.what, s.policy, s.who, old, s.value})
		}
	}
	gone := len(changes)
	for it, c := range l.last {
		if !there[it] && !same(c.New, nil) {
			changes = append(changes, Change{now, it.what, it.policy, it.who, c.New, nil})
		}
	}
	slices.SortFunc(changes[gone:], byItem)
	return changes
}

// same compares settings. It treats JSON's null and an empty value as equal.
func same(a, b json.RawMessage) bool {
	none := func(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }
	return bytes.Equal(a, b) || none(a) && none(b)
}

// trimmed returns the last changes. Of the older ones it keeps the last change
// of each setting in force, so reading the result gives the same state.
func trimmed(changes []Change, keep int) []Change {
	recent := max(len(changes)-keep, 0)
	seen := make(map[item]bool)
	var out []Change
	for i, c := range slices.Backward(changes) {
		if i >= recent || !seen[c.item()] && !same(c.New, nil) {
			out = append(out, c)
		}
		seen[c.item()] = true
	}
	slices.Reverse(out)
	return out
}

// Changes returns the remembered changes, the newest first.
func (l *Log) Changes() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := slices.Clone(l.changes)
	slices.Reverse(changes)
	return changes
}

// Since returns the time since which a policy has had its recorded settings. It
// is zero if the policy was never recorded.
func (l *Log) Since(policy string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[item{what: OfPolicy, policy: policy}].At
}
