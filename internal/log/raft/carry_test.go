package raft

import "testing"

// TestCarries: entries carry the contents of events only if all members have
// said that they can read that.
func TestCarries(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := c.awaitLeader().log
	if err := l.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !l.carries.Load() {
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
	if l.carries.Load() {
		t.Error("it is used although a member cannot read it")
	}
}
