package raft

import (
	"context"
	"testing"
	"time"
)

// TestLatest: a server that waits for the latest index reads what any server
// has acknowledged.
func TestLatest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	l.fill(t, c.servers[0].log, 1)
	for _, s := range c.servers { // each knows the others now
		s.machine.await(c.servers[0].log.Position())
	}
	for i := range 20 {
		writer, reader := c.servers[i%3].log, c.servers[(i+1)%3].log
		l.fill(t, writer, 1)
		wrote := writer.Position()
		latest, err := reader.Latest(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if latest < wrote {
			t.Errorf("the latest entry is %d, and %d was acknowledged", latest, wrote)
		}
		if !reader.Reach(t.Context(), latest) {
			t.Error("it was not reached")
		}
		if got := reader.Position(); got < wrote {
			t.Errorf("the reader is at %d, and %d was acknowledged", got, wrote)
		}
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// TestHasOwn: a server whose machine is late knows that it lacks what it has
// acknowledged, until it has applied that.
func TestHasOwn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 3 * time.Second}) // the late one must not lead
	l := ledger{became: make(map[string]error)}
	late := c.except(c.awaitLeader())[0]
	l.fill(t, late.log, 2)
	eventually(t, "it has applied what it has acknowledged", late.log.HasOwn)
	late.machine.mu.Lock()
	l.fill(t, late.log, 2)
	if late.log.HasOwn() {
		t.Error("it has applied nothing of this")
	}
	late.machine.mu.Unlock()
	eventually(t, "it has applied the rest", late.log.HasOwn)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestLatestOfOldLeader: a leader that is cut off does not name an entry, once
// the others have acknowledged more.
func TestLatestOfOldLeader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	old := c.awaitLeader()
	l.fill(t, old.log, 5)
	c.sever(old, true, c.except(old)...)
	l.fill(t, c.except(old)[0].log, 5)
	if index, err := old.log.lastCommand(); err == nil {
		t.Errorf("it names %d", index)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if index, err := old.log.Latest(ctx); err == nil {
		t.Errorf("got %d", index)
	}
	c.sever(old, false, c.except(old)...)
	c.settle()
	l.check(t, c.wantEqual())
}
