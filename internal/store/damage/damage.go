// Package damage keeps account of what of a store could not be read. Its one idea: each place is logged once and counted once,
// however often it is met, so that whoever runs the server learns of it at the first look and is not drowned by the thousandth.
//
// It mends nothing, and decides nothing: who meets damage says whether to pass over it or to fail.
package damage

import (
	"log/slog"
	"sync"
)

// Kind is what is damaged.
type Kind string

// The kinds. They are values of a metric's label.
const (
	File    Kind = "file"    // a part of a file, told by its checksum
	Event   Kind = "event"   // an event of the log
	Count   Kind = "count"   // a count of events, or the name of a type that is counted
	Usage   Kind = "usage"   // a total of a day
	Erasure Kind = "erasure" // the record of an erasure
)

// Kinds are all of them, in the order in which they are shown.
var Kinds = []Kind{File, Event, Count, Usage, Erasure}

// Bounds of what is kept of a kind, and of what is said of it in the log.
const (
	mostPlaces = 10_000
	mostSaid   = 10
)

// Ledger is the account since a start. It is safe for concurrent use.
type Ledger struct {
	log *slog.Logger

	mu     sync.Mutex
	places map[Kind]map[string]struct{}
}

// New returns an empty ledger that speaks through log.
func New(log *slog.Logger) *Ledger {
	return &Ledger{log: log, places: make(map[Kind]map[string]struct{})}
}

// Note notes that what is at a place cannot be read, and why. The place and the error name no customer, only numbers and files.
func (l *Ledger) Note(kind Kind, place string, err error) {
	l.mu.Lock()
	known := l.places[kind]
	if known == nil {
		known = make(map[string]struct{})
		l.places[kind] = known
	}
	_, old := known[place]
	if !old && len(known) < mostPlaces {
		known[place] = struct{}{}
	}
	n := len(known)
	l.mu.Unlock()
	if old || n > mostSaid {
		return
	}
	l.log.Error("the store is damaged: a part of it cannot be read, and is passed over or refused; see docs/damage.md",
		"what", string(kind), "where", place, "err", err.Error()) // Pebble's errors print their stacks otherwise
	if n == mostSaid {
		l.log.Error("the store is damaged: further places of this kind are only counted", "what", string(kind))
	}
}

// All returns how many places are known, of all kinds.
func (l *Ledger) All() (n int) {
	for _, kind := range Kinds {
		n += l.Count(kind)
	}
	return n
}

// Count returns how many places of a kind are known, 10 000 at most.
func (l *Ledger) Count(kind Kind) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places[kind])
}
