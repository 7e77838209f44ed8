// Package damage keeps a list of the parts of a store that could not be read.
// It logs and counts each place once, however often it is met, so the operator
// learns of it at once and is not flooded with repeats.
//
// It repairs nothing and decides nothing: the code that meets damage decides
// whether to skip it or to fail.
package damage

import (
	"log/slog"
	"sync"
)

// Kind is what is damaged.
type Kind string

// The kinds of damage. They are values of a metric's label.
const (
	File    Kind = "file"    // a part of a file with a wrong checksum
	Event   Kind = "event"   // an event of the log
	Count   Kind = "count"   // a count of events, or the name of a counted type
	Usage   Kind = "usage"   // a total of a day
	Erasure Kind = "erasure" // the record of an erasure
)

// Kinds lists all kinds in the order in which they are shown.
var Kinds = []Kind{File, Event, Count, Usage, Erasure}

// Limits for each kind: the places that are kept, and those that are logged.
const (
	mostPlaces = 10_000
	mostSaid   = 10
)

// Ledger holds the damage found since the start. It is safe for concurrent use.
type Ledger struct {
	log *slog.Logger

	mu     sync.Mutex
	places map[Kind]map[string]struct{}
}

// New returns an empty ledger that writes to log.
func New(log *slog.Logger) *Ledger {
	return &Ledger{log: log, places: make(map[Kind]map[string]struct{})}
}

// Note records that a place cannot be read, and why. The place and the error
// must not name customers, only numbers and files.
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
		// err.Error(), because Pebble's errors would print their stacks.
		"what", string(kind), "where", place, "err", err.Error())
	if n == mostSaid {
		l.log.Error("the store is damaged: further places of this kind are only counted", "what", string(kind))
	}
}

// All returns the number of known places of all kinds.
func (l *Ledger) All() (n int) {
	for _, kind := range Kinds {
		n += l.Count(kind)
	}
	return n
}

// Count returns the number of known places of a kind, at most 10 000.
func (l *Ledger) Count(kind Kind) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places[kind])
}
