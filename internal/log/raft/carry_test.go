package raft

import (
	"testing"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/store/prepared"
)

// TestCarries: entries carry the contents of events only if all members have
// said that they can read that.
func TestCarries(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := c.awaitLeader().log
	l.awaitCarries(t)
	carries := func() bool {
		e := visit("one")
		l.carry(e)
		return e.Carries
	}
	if !carries() {
		t.Error("all members can read it, and it is not used")
	}
	l.others.mu.Lock()
	for id, known := range l.others.known {
		known.Entries = 0 // its program is older
		l.others.known[id] = known
		break
	}
	l.others.mu.Unlock()
	l.noteReaders()
	if carries() {
		t.Error("it is used although a member cannot read it")
	}
}

// awaitCarries waits until all members have said that they can read the
// contents of events in entries, so that entries carry them.
func (l *Log) awaitCarries(t *testing.T) {
	t.Helper()
	eventually(t, "entries carry contents", func() bool {
		if err := l.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		return l.readers.Load() >= version.Contents
	})
}

// TestCarriedEvents: the machines store an event whose content comes in the
// entry as they store others.
func TestCarriedEvents(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := c.awaitLeader().log
	l.awaitCarries(t)
	for _, name := range []string{"alone", "carried"} {
		e := visit(name)
		if q := &e.Requests[0]; name == "carried" {
			q.Commands[0].TimeGiven = true
			_, content := prepared.Append(nil, &q.Commands[0], nil)
			q.Contents = []entry.Content{content}
		}
		if err := l.Append(t.Context(), e); err != nil || e.Requests[0].Results[0].Err != nil {
			t.Fatal(err, e.Requests[0].Results)
		}
	}
	c.settle()
	if events := c.wantEqual(); events["alone"] != 1 || events["carried"] != 1 {
		t.Errorf("got the events %v", events)
	}
}
