// Package audit keeps the audit log: who did what to the server, when, and from
// where. It is the file audit.jsonl in the data directory, one [Entry] per
// line. Each line has a checksum of itself and of the line before it, so that
// [Log.Verify] finds a line that was changed, removed or moved.
//
// The checksums have no secret. Anyone who may write the file can write another
// whole file. [Log.Verify] finds that too if it is given a checksum that was
// noted elsewhere before.
//
// An entry never has the value of a setting, a secret, an identifier of a
// customer, or what a stranger has typed. The package decides nothing about
// what is recorded. It locks the file between processes: a command may write an
// entry while a server runs.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
)

// File is the name of the file, in the data directory and in a directory of
// backups.
const File = "audit.jsonl"

// Keep is how long entries are kept, unless the operator says otherwise.
const Keep = 365 * 24 * time.Hour

// Log is the audit log of a data directory. It is safe for concurrent use. A
// nil Log records nothing.
type Log struct {
	path   string
	logger *slog.Logger
	keep   atomic.Int64

	mu      sync.Mutex // guards the fields below; held during writes
	missed  missed
	failing failing
}

// New returns the audit log of a data directory. It touches no file before the
// first entry.
func New(dataDir string, logger *slog.Logger) *Log {
	l := &Log{path: filepath.Join(dataDir, File), logger: logger}
	l.KeepFor(Keep)
	return l
}

// KeepFor has older entries removed, from the next [Log.Trim] on. 0 keeps all.
func (l *Log) KeepFor(keep time.Duration) {
	if l != nil {
		l.keep.Store(int64(keep))
	}
}

// errUnrecorded is the answer if an entry cannot be written.
var errUnrecorded = &trackway.Error{
	Code: trackway.Overloaded, Msg: "The audit log cannot be written, so nothing was done. The server's log says why.",
}

// Add writes an entry. It is on the disk when Add returns nil. The server's log
// has the reason for an error, and the caller may see the error: it says that
// nothing was done. So call Add before an action takes effect. If the action
// then fails, say so by [Log.Failed].
func (l *Log) Add(e *Entry) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.addLocked(e)
}

// Note writes an entry about something that happens even if it cannot be
// recorded: what takes access away, or has happened already. If the entry
// cannot be written, the server's log has it, and the next entry says that one
// is missing.
func (l *Log) Note(e *Entry) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addLocked(e) != nil {
		l.missed.add(e)
	}
}

// Failed says that an action which Add has recorded has failed. It returns err.
// If err is nil, it does nothing.
func (l *Log) Failed(e *Entry, err error) error {
	if err != nil {
		failed := *e
		failed.At, failed.Outcome = time.Time{}, Failed
		l.Note(&failed)
	}
	return err
}

// Do records an entry, and then calls act. If the entry cannot be written, it
// does not call act. If act fails, a second entry says so.
func (l *Log) Do(e *Entry, act func() error) error {
	if err := l.Add(e); err != nil {
		return err
	}
	return l.Failed(e, act())
}

// addLocked writes an entry, with those that come before it.
func (l *Log) addLocked(e *Entry) error {
	var list []Entry
	if m := l.missed.entry(); m != nil {
		list = append(list, *m)
	}
	if f := l.failing.entry(); f != nil {
		list = append(list, *f)
	}
	if e != nil {
		list = append(list, *e)
	}
	if len(list) == 0 {
		return nil
	}
	if err := l.write(list); err != nil {
		action := None
		if e != nil {
			action = e.Action
		}
		l.logger.Error("the audit log cannot be written", "action", string(action), "err", err)
		return errUnrecorded
	}
	l.missed, l.failing = missed{}, failing{}
	return nil
}

// gathered is how long failed attempts to sign in are gathered before they make
// an entry.
const gathered = 10 * time.Minute

// Run writes what is gathered when it is time, and removes old entries once a
// day, until ctx ends. Each day, the server's log gets the last checksum, for
// [Log.Verify].
func (l *Log) Run(ctx context.Context) error {
	if l == nil {
		return nil
	}
	minute, day := time.NewTicker(time.Minute), time.NewTicker(24*time.Hour)
	defer minute.Stop()
	defer day.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush(time.Time{})
			return nil
		case now := <-minute.C:
			l.flush(now.Add(-gathered))
		case now := <-day.C:
			l.Tidy(now)
		}
	}
}

// flush writes what has been gathered since a time or before. The zero time
// means all.
func (l *Log) flush(since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing.count > 0 && (since.IsZero() || l.failing.since.Before(since)) {
		_ = l.addLocked(nil) // it stays gathered, and the error was logged
	}
}

// Tidy removes old entries, and tells the last checksum. Run does so each day.
func (l *Log) Tidy(now time.Time) {
	if l == nil {
		return
	}
	if err := l.Trim(now); err != nil {
		l.logger.Error("old entries of the audit log cannot be removed", "err", err)
	}
	if last, err := l.last(); err == nil && last.n > 0 {
		l.logger.Info("audit log", "last", fmt.Sprintf("%d:%s", last.n, last.sum))
	}
}

// missed counts the entries that could not be written.
type missed struct {
	count uint64
	since time.Time
	last  Action
}

func (m *missed) add(e *Entry) {
	if m.count == 0 {
		m.since = time.Now()
	}
	m.count++
	m.last = e.Action
}

func (m *missed) entry() *Entry {
	if m.count == 0 {
		return nil
	}
	return &Entry{
		Via: Server, Action: Missed, Count: m.count, Outcome: Done,
		Detail: fmt.Sprintf("since %s, the last one: %s", m.since.UTC().Format(time.RFC3339), m.last),
	}
}
