// Package history remembers how the rate limits came to be what they are, and
// who is let in under which address. It compares what is put in force with what
// was in force before, even if the server was stopped in between, and records
// the differences in a file. It decides nothing about limits, and it does not
// undo a change.
//
// The file holds a change as JSON on each line, with a checksum. Each change
// replaces the file as a whole: limits change rarely, and the file is kept
// small. A line that is damaged is put aside, into a file of its own, and what
// is in force is recorded again.
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
// backups. Lines that were damaged are in a file with DamagedSuffix behind it,
// until somebody removes that.
const (
	File          = "limits.jsonl"
	DamagedSuffix = ".damaged"
)

// Change is one thing that became different.
type Change struct {
	At     time.Time       `json:"at"` // whole seconds, UTC
	What   Kind            `json:"what"`
	Policy string          `json:"policy"`        // its name; empty where it is about none
	For    string          `json:"for,omitempty"` // whom an override is for: "address 203.0.113.0/24", "project <token>" or "key <name>"; or which key
	Old    json.RawMessage `json:"old"`           // a [Policy], [Override], [Proxies] or [Key], null if there was none
	New    json.RawMessage `json:"new"`           // as Old; null if there is none any more
}

// Kind says what was changed.
type Kind string

// What can be changed.
const (
	OfPolicy   Kind = "policy"
	OfOverride Kind = "override"
	OfProxies  Kind = "proxies"
	OfKey      Kind = "key"
)

// item names what a change is about.
type item struct {
	what        Kind
	policy, who string
}

func (c *Change) item() item { return item{c.What, c.Policy, c.For} }

// kept is how many changes are remembered. The last change of what is in force
// is never forgotten: it says since when that has been so.
const kept = 1000

// Log is the file and what it holds. Safe for concurrent use.
type Log struct {
	path string
	keep int

	mu      sync.Mutex // guards what follows, and is held over a write: limits change rarely
	changes []Change   // the oldest first
	last    map[item]Change
	damaged []int // lines, counted from 1, that were put aside when it was opened
}

const ownerOnly = 0o600 // the files hold addresses of callers

// Open reads the file at path, if there is one. Lines that are not what was
// written are put aside: see [Log.Damaged].
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

// read takes in the good lines of the file, and puts the bad ones aside.
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

// setLocked remembers changes.
func (l *Log) setLocked(changes []Change) {
	l.changes, l.last = changes, make(map[item]Change)
	for _, c := range changes {
		l.last[c.item()] = c
	}
}

// save replaces the file. If it fails, the file is either as it was or as it
// was to become.
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

// Damaged returns the lines of the file, counted from 1, that were put aside
// when it was opened, since they were not what was written.
func (l *Log) Damaged() []int { return l.damaged }

// Record notes what differs between what was recorded last and what is put in
// force now. When it returns nil, that is on the disk. After an error it knows
// nothing of the change, and the next call records it. If nothing differs it
// touches no file.
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

// compareLocked returns the changes that make what was recorded into next.
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

// same compares settings; JSON's null and nothing are the same.
func same(a, b json.RawMessage) bool {
	none := func(v json.RawMessage) bool { return len(v) == 0 || string(v) == "null" }
	return bytes.Equal(a, b) || none(a) && none(b)
}

// trimmed returns the last changes. Of the older ones it keeps the last change of
// what is in force: reading the rest gives the same state.
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

// Changes returns what is remembered, the newest first.
func (l *Log) Changes() []Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := slices.Clone(l.changes)
	slices.Reverse(changes)
	return changes
}

// Since returns since when a policy has been as it was recorded last, the zero time if it never was.
func (l *Log) Since(policy string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[item{what: OfPolicy, policy: policy}].At
}
