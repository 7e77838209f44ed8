package progress

import "sync/atomic"

// Lag is whether a machine lacks entries that were there when somebody looked
// the time before the last. One goroutine at a time may note; anybody may ask.
type Lag struct {
	needed   atomic.Uint64 // index of the entry that the machine should have by now
	expected uint64        // what will be needed soon
}

// Note notes an entry that is there now. The machine needs the one that was
// noted before.
func (l *Lag) Note(index uint64) {
	l.needed.Store(l.expected)
	l.expected = index
}

// Behind reports whether the machine lacks an entry that it needs.
func (l *Lag) Behind(p *Progress) bool { return p.Reached() < l.needed.Load() }
