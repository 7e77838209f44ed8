package alarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"trackway"
	"trackway/internal/config/alarming"
	"trackway/internal/durable"
	"trackway/internal/query"
	"trackway/internal/seal"
)

// File is the name of the file in the data directory that has the state of the
// alarms.
const File = "alarms.json"

// The bounds of what the book holds.
const (
	mostPast    = 200 // alarms that have ended
	mostAlarms  = 1000
	mostGaps    = 500
	mostNotices = 200 // that a receiver was not told yet; then some are left out
	gapsKept    = 60 * 7 * 24 * time.Hour

	// Strangers choose how many types there are, and can send wrong commands by
	// the public key of each project. Alarms about that leave room for others.
	mostOfTypes     = 500
	mostOfProject   = 100
	mostByStrangers = 800
)

// Gap is a time in which the server did not run.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`

	// Unknown says that nobody knows whether the server ran: the book is new.
	Unknown bool `json:"unknown,omitempty"`
}

// state is what the file holds.
type state struct {
	Seen   time.Time         `json:"seen"`            // when the server is known to have run last
	Latest time.Time         `json:"latest"`          // the latest time that Seen ever was: the clock may be behind
	Behind time.Time         `json:"behind,omitzero"` // the time to which the clock was turned back; zero: it is right
	Judged query.Hour        `json:"judged"`          // the last hour whose counts were judged
	Gaps   []Gap             `json:"gaps"`            // oldest first
	Alarms []Alarm           `json:"alarms"`          // that ring, or will if it stays so
	Past   []Alarm           `json:"past"`            // newest first
	Outbox map[string]outbox `json:"outbox"`          // by receiver
}

// outbox is what a receiver was not told yet.
type outbox struct {
	Notices []Notice `json:"notices"` // oldest first
	LeftOut int      `json:"left_out"`
}

// Book keeps the state of the alarms, in memory and in a file. If the file
// cannot be written, for example because the disk is full, the book goes on in
// memory: the alarm that says so must get out. It is safe for concurrent use.
type Book struct {
	path  string
	log   *slog.Logger
	write func(path string, data []byte, perm fs.FileMode) error

	saving sync.Mutex // held while the file is written, which may take for ever; locked before mu
	failed bool       // the last write has failed, and that was logged; guarded by saving

	mu      sync.Mutex // guards what follows
	state   state
	unsaved bool
	changed chan struct{} // closed when there is more to tell
}

// Open opens the book in a file, which need not exist. A damaged file is put
// aside.
func Open(path string, log *slog.Logger) (*Book, error) {
	b := &Book{path: path, log: log, write: durable.Replace, changed: make(chan struct{})}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b, nil
	case err != nil:
		return nil, fmt.Errorf("read the state of the alarms: %w", err)
	}
	if !seal.Whole(text) || json.Unmarshal(text, &b.state) != nil {
		b.state = state{}
		const aside = ".damaged"
		log.Error("the state of the alarms was damaged and was put aside: what rings now may ring again", "file", path+aside)
		return b, os.Rename(path, path+aside)
	}
	return b, nil
}

// read reads the state. It does not wait for the disk: if that hangs, the pages
// and the receivers still get what is known.
func (b *Book) read(f func(*state)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.state)
}

// change changes the state, and saves it if f returns true, or if it could not
// be saved before.
func (b *Book) change(f func(*state) bool) {
	b.mu.Lock()
	b.unsaved = f(&b.state) || b.unsaved
	due := b.unsaved
	b.mu.Unlock()
	if due {
		b.save()
	}
}

// save writes the state, unless another call has written it meanwhile.
func (b *Book) save() {
	b.saving.Lock()
	defer b.saving.Unlock()
	b.mu.Lock()
	due := b.unsaved
	var text []byte
	var err error
	if due {
		text, err = json.Marshal(&b.state)
		b.unsaved = false
	}
	b.mu.Unlock()
	if !due {
		return
	}
	if err == nil {
		err = b.write(b.path, append(seal.Add(text), '\n'), 0o600)
	}
	if err != nil {
		b.mu.Lock()
		b.unsaved = true
		b.mu.Unlock()
		if !b.failed {
			b.log.Error("the state of the alarms cannot be saved: after a restart, alarms may ring again", "err", err)
		}
	}
	b.failed = err != nil
}

// Post adds a notice to the outboxes of receivers. A full outbox leaves out
// those first that matter least: strangers can cause many of them.
func (b *Book) Post(n *Notice, receivers []string) {
	b.change(func(*state) bool {
		b.postLocked(n, receivers)
		return true
	})
}

func (b *Book) postLocked(n *Notice, receivers []string) {
	if b.state.Outbox == nil {
		b.state.Outbox = make(map[string]outbox)
	}
	for _, name := range receivers {
		box := b.state.Outbox[name]
		box.Notices = append(box.Notices, *n)
		for len(box.Notices) > mostNotices {
			least := 0
			for i := range box.Notices {
				if alarming.Rank(box.Notices[i].Kind) > alarming.Rank(box.Notices[least].Kind) {
					least = i
				}
			}
			box.Notices, box.LeftOut = slices.Delete(box.Notices, least, least+1), box.LeftOut+1
		}
		b.state.Outbox[name] = box
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

// Pending returns what a receiver was not told yet, oldest first, and how many
// older notices were left out. more is closed when there may be more.
func (b *Book) Pending(receiver string) (notices []Notice, leftOut int, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	box := b.state.Outbox[receiver]
	return slices.Clone(box.Notices), box.LeftOut, b.changed
}

// Told notes that a receiver was told some notices, and that older ones were
// left out.
func (b *Book) Told(receiver string, notices []Notice, leftOut int) {
	b.change(func(s *state) bool {
		box := s.Outbox[receiver]
		box.LeftOut -= min(leftOut, box.LeftOut)
		box.Notices = slices.DeleteFunc(box.Notices, func(n Notice) bool {
			return slices.ContainsFunc(notices, func(told Notice) bool { return told.ID == n.ID })
		})
		if len(box.Notices) == 0 && box.LeftOut == 0 {
			delete(s.Outbox, receiver)
		} else {
			s.Outbox[receiver] = box
		}
		return true
	})
}

// Keep forgets the notices for receivers that do not exist any more.
func (b *Book) Keep(receivers []string) {
	b.change(func(s *state) (changed bool) {
		for name := range s.Outbox {
			if !slices.Contains(receivers, name) {
				delete(s.Outbox, name)
				changed = true
			}
		}
		return changed
	})
}

// noteGap notes that the server did not run for some time.
func (s *state) noteGap(g Gap) {
	s.Gaps = append(s.Gaps, g)
	s.Gaps = slices.DeleteFunc(s.Gaps, func(old Gap) bool { return g.To.Sub(old.To) > gapsKept })
	s.Gaps = slices.Delete(s.Gaps, 0, max(len(s.Gaps)-mostGaps, 0))
}

// turnBack corrects what was noted while the clock was ahead. Otherwise nothing
// would be judged until that time comes.
func (s *state) turnBack(now time.Time) {
	if s.Behind.IsZero() || now.Before(s.Behind) {
		s.Behind = now
	}
	s.Judged = min(s.Judged, hourBefore(now))
	s.Gaps = slices.DeleteFunc(s.Gaps, func(g Gap) bool { return g.From.After(now) })
	for i := range s.Gaps {
		s.Gaps[i].To = earlier(s.Gaps[i].To, now)
	}
	for i := range s.Alarms {
		a := &s.Alarms[i]
		for _, at := range []*time.Time{&a.Since, &a.Rang, &a.Fine, &a.Unknown} {
			*at = earlier(*at, now)
		}
	}
}

// putRight corrects the times of alarms that were noted, or turned back, while
// the clock was behind, since the given time at most: it has jumped ahead, to
// one after the latest time that was known before.
func (s *state) putRight(wrong time.Time) {
	for i := range s.Alarms {
		a := &s.Alarms[i]
		for _, at := range []*time.Time{&a.Since, &a.Rang, &a.Fine, &a.Unknown} {
			if !at.IsZero() && !at.Before(s.Behind) && !at.After(wrong) {
				*at = s.Latest
			}
		}
	}
}

// hourBefore returns the last hour that is over, and the first of all hours
// while that one runs.
func hourBefore(now time.Time) query.Hour {
	return max(query.HourOf(trackway.MicrosOf(now)), 1) - 1
}

// bury moves an alarm that has ended to the past ones.
func (s *state) bury(a *Alarm) {
	s.Past = slices.Insert(s.Past, 0, *a)
	s.Past = s.Past[:min(len(s.Past), mostPast)]
}
