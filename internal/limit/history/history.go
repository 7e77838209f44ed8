// Package history remembers how the rate limits came to be what they are, and who is let in under which address. Its one idea: it compares what is put in force with
// what was in force before, whoever changed it and however, even while the server was stopped, and appends the differences to
// a file. It decides nothing about limits, and it does not undo a change.
//
// The file holds a change as JSON on each line, with a checksum. It is synced before a change counts as recorded. A last line
// that a power cut has torn is dropped. A line that is not what was written is put aside, into a file of its own, and what is
// in force is recorded again. The file is trimmed now and then, so that it stays small however often limits change.
package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// kept is how many changes are remembered; a file of twice as many is trimmed. Besides, the last change of what is in force is
// never forgotten: it says since when that has been so.
const kept = 1000

// Log is the file and what it holds. Safe for concurrent use.
type Log struct {
	path string
	keep int
	sync func(*os.File) error // returns when the file is on the disk; a test's may fail

	mu      sync.Mutex // guards what follows, and is held over a sync: limits change rarely
	file    *os.File
	size    int64    // of the part of the file that is good
	changes []Change // the oldest first
	last    map[item]Change
	damaged []int // lines, counted from 1, that were put aside when it was opened
}

// Open opens the file at path, which is made if it is not there. Lines that are
// not what was written are put aside: see [Log.Damaged].
func Open(path string) (*Log, error) {
	l := &Log{path: path, keep: kept, sync: (*os.File).Sync, last: make(map[item]Change)}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("open the record of changed limits: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	const ownerOnly = 0o600 // it holds addresses of callers
	if err := durable.Create(l.path, nil, ownerOnly); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	file, err := os.OpenFile(l.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	good, bad := l.read(text)
	if len(bad) == 0 {
		l.file = file
		return nil
	}
	if err := errors.Join(file.Close(), l.putAside(good, bad)); err != nil {
		return err
	}
	l.file, err = os.OpenFile(l.path, os.O_RDWR, 0)
	return err
}

// putAside leaves in the file what is good, and adds the rest to the file of
// damaged lines. A crash in between leaves both in the file.
func (l *Log) putAside(good, bad []byte) error {
	const ownerOnly = 0o600
	aside := l.path + DamagedSuffix
	before, err := os.ReadFile(aside)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := durable.Replace(aside, append(before, bad...), ownerOnly); err != nil {
		return err
	}
	return durable.Replace(l.path, good, ownerOnly)
}

// Damaged returns the lines of the file, counted from 1, that were put aside
// when it was opened, since they were not what was written.
func (l *Log) Damaged() []int { return l.damaged }

// read takes in the good lines of the file and returns them apart from the bad
// ones. The end of a last line that a power cut has torn belongs to neither: the
// next change overwrites it.
func (l *Log) read(text []byte) (good, bad []byte) {
	for n := 1; len(text) > 0; n++ {
		line, rest, ends := bytes.Cut(text, []byte("\n"))
		if !ends && !seal.Whole(line[:len(line)-1]) { // else its break is damaged
			break
		}
		text = rest
		var c Change
		if !ends || !seal.Whole(line) || json.Unmarshal(line, &c) != nil {
			l.damaged = append(l.damaged, n)
			bad = append(append(bad, line...), '\n')
			continue
		}
		l.add(c)
		good = append(append(good, line...), '\n')
	}
	l.size = int64(len(good))
	return good, bad
}

func (l *Log) add(c Change) {
	l.changes = append(l.changes, c)
	l.last[c.item()] = c
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// Record notes what differs between what was recorded last and what is put in force now. When it returns nil that is on the
// disk; with an error nothing was recorded. Where nothing differs it touches no file.
func (l *Log) Record(now time.Time, policies []trackway.Policy, overrides []trackway.Override, access Access) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := l.compareLocked(now.UTC().Truncate(time.Second), append(settings(policies, overrides), access.settings()...))
	if len(changes) == 0 {
		return nil
	}
	var err error
	if len(l.changes) > 2*l.keep {
		err = l.trimLocked()
	}
	if err == nil {
		err = l.appendLocked(changes)
	}
	if err != nil {
		return fmt.Errorf("record the change of limits: %w", err)
	}
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

// appendLocked writes changes behind what is good, all or none.
func (l *Log) appendLocked(changes []Change) error {
	text, err := encode(changes)
	if err != nil {
		return err
	}
	if err := l.writeLocked(text); err != nil {
		// What is behind size does not count, but a reader would take it for a change once a shorter one lies before it.
		return errors.Join(err, l.file.Truncate(l.size))
	}
	l.size += int64(len(text))
	for _, c := range changes {
		l.add(c)
	}
	return nil
}

func (l *Log) writeLocked(text []byte) error {
	if err := l.file.Truncate(l.size); err != nil { // a damaged line of before
		return err
	}
	if _, err := l.file.WriteAt(text, l.size); err != nil {
		return err
	}
	return l.sync(l.file)
}

func encode(changes []Change) ([]byte, error) {
	var text bytes.Buffer
	for _, c := range changes {
		line, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		text.Write(append(seal.Add(line), '\n'))
	}
	return text.Bytes(), nil
}

// trimLocked forgets old changes, but not the last one of what is in force: reading the rest gives the same state. Where it
// fails it is done again before the next change.
func (l *Log) trimLocked() error {
	old := l.changes[:len(l.changes)-l.keep]
	seen := make(map[item]bool)
	for _, c := range l.changes[len(old):] {
		seen[c.item()] = true
	}
	var trimmed []Change
	for _, c := range slices.Backward(old) {
		if !seen[c.item()] && !same(c.New, nil) {
			trimmed = append(trimmed, c)
		}
		seen[c.item()] = true
	}
	slices.Reverse(trimmed)
	next := &Log{path: l.path, last: make(map[item]Change)}
	text, err := encode(append(trimmed, l.changes[len(old):]...))
	if err != nil {
		return err
	}
	const ownerOnly = 0o600
	if err := durable.Replace(l.path, text, ownerOnly); err != nil {
		return err
	}
	if err := next.open(); err != nil {
		return err
	}
	err = l.file.Close()
	l.file, l.size, l.changes, l.last = next.file, next.size, next.changes, next.last
	return err
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
