package raft

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// TestClean: what was applied before is not in the files of the log any more,
// and the servers go on.
func TestClean(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	const secret = "secret-visit"
	if err := c.servers[0].log.Append(t.Context(), visit(secret)); err != nil {
		t.Fatal(err)
	}
	l.became[secret] = nil
	l.fill(t, c.servers[1].log, 5)
	for _, s := range c.servers {
		if err := s.log.CatchUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !s.logHolds(t, secret) {
			t.Error("it was not there before")
		}
	}
	for _, s := range c.servers {
		if err := s.log.Clean(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.logHolds(t, secret) {
			t.Errorf("%s still holds it", s.address)
		}
		l.fill(t, s.log, 3)
	}
	c.settle()
	l.check(t, c.wantEqual())
}

// logHolds reports whether a file of a server's log holds a text.
func (s *server) logHolds(t *testing.T, text string) bool {
	t.Helper()
	dir := s.fs.PathJoin(logDir, "log")
	names, err := s.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := s.fs.Open(s.fs.PathJoin(dir, name))
		if err != nil {
			continue // it is gone by now
		}
		content, err := io.ReadAll(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

// TestCleanWaits: a server that is a little behind is waited for. If it were
// not, it would need the whole state.
func TestCleanWaits(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 3 * time.Second}) // the one that is cut off must not lead
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	slow := c.except(leader)[0]
	l.fill(t, slow.log, 1)
	c.sever(slow, true, c.except(slow)...)
	l.fill(t, leader.log, 20)
	next := leader.log.raft.LastIndex() + 1 // of the entry that Clean appends
	cleaned := make(chan error, 1)
	go func() { cleaned <- leader.log.Clean(t.Context()) }()
	leader.log.progress.Await(next, nil, nil)
	c.sever(slow, false, c.except(slow)...)
	if err := <-cleaned; err != nil {
		t.Fatal(err)
	}
	c.settle()
	if slow.machine.replaced > 0 {
		t.Error("it received the whole state")
	}
	l.check(t, c.wantEqual())
}
