package raft

import (
	"bufio"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/log/raft/peer"
	"trackway/internal/store/prepared"
)

// rarely is for servers that do not ask the others by themselves.
var rarely = Options{askEach: time.Hour, Version: "v9"}

// older asks a server to add one with an older program, in the words of such a
// program, and returns the answer.
func (s *server) older(id string) string { return s.olderAt(id, "127.0.0.1:99") }

func (s *server) olderAt(id, address string) string {
	t := s.c.t
	t.Helper()
	conn, err := s.log.o.Network.Dial(t.Context(), peer.Target{Address: s.address}, peer.Change, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	asked := `{"Cluster":"","Do":"add","ID":"` + id + `","Address":"` + address + `","Applied":0}` + "\n"
	if _, err := conn.Write([]byte(asked)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Error string }
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	return got.Error
}

// TestOlderJoins: a server with a program that cannot read the entries of the
// cluster is refused, and is told the versions. It joins a cluster whose
// members have not said that they read such entries.
func TestOlderJoins(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, rarely)
	l := c.awaitLeader()
	id := strings.Repeat("0", 31)
	if got := l.older(id + "1"); got != "" {
		t.Errorf("got %q, want to be admitted", got)
	}
	if err := l.log.Remove(id + "1"); err != nil {
		t.Fatal(err)
	}
	l.log.awaitCarries(t)
	got := l.older(id + "2")
	for _, want := range []string{"entries of version 1", "reads version 0", "v9"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if l.log.member(id+"2") != nil {
		t.Error("it is a member all the same")
	}
	silent := c.add() // its program reads the entries, and does not say so when it asks
	if got := l.olderAt(silent.id, silent.address); got != "" {
		t.Errorf("got %q, want to be admitted: it says in its standing what it reads", got)
	}
	if err := l.log.Remove(silent.id); err != nil {
		t.Fatal(err)
	}
	if err := l.log.admit(change{ID: id + "3", Address: "127.0.0.1:99", Entries: reads}); err != nil {
		t.Error(err)
	}
}

// TestOlderJoinsLater: a leader that has been started again, and has not heard
// all members since, still knows what the log has.
func TestOlderJoinsLater(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, rarely)
	e := visit("carried")
	q := &e.Requests[0]
	q.Commands[0].TimeGiven = true
	_, content := prepared.Append(nil, &q.Commands[0], nil)
	q.Contents = []entry.Content{content}
	s := c.servers[0]
	s.log.readers.Store(version.Contents)
	if err := s.log.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.start()
	c.awaitLeader()
	if got := s.older(strings.Repeat("0", 32)); !strings.Contains(got, "entries of version 1") {
		t.Errorf("got %q", got)
	}
}

// TestNewerLog: a log with entries of a newer program is refused, with a
// message that says which program is needed.
func TestNewerLog(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, rarely)
	s := c.servers[0]
	if err := s.log.noteEntries(reads + 1); err != nil {
		t.Fatal(err)
	}
	o := s.log.o
	s.stop()
	machine, err := openStore(s.fs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(machine, o); err == nil || !strings.Contains(err.Error(), "entries of version 3, and this program (v9) reads version 2") {
		t.Errorf("got %v", err)
	}
	if err := machine.s.Close(); err != nil {
		t.Fatal(err)
	}
}
