package raft

import (
	"errors"
	"strings"
	"testing"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
	"trackway/internal/siphash"
	"trackway/internal/store/prepared"
	"trackway/internal/store/timeline"
)

var testKey = [siphash.KeyBytes]byte{7}

// hashed is a visit at a time of its own, hashed under a key.
func hashed(name string) *entry.Commands {
	e := visit(name)
	q := &e.Requests[0]
	q.Commands[0].TimeGiven, q.Keyed = true, true
	_, content := prepared.Append(nil, &q.Commands[0], timeline.NewKey(testKey))
	q.Contents = []entry.Content{content}
	return e
}

// wantKnown appends an event twice, and expects the second one to be known.
func (s *server) wantKnown(t *testing.T, name string) {
	t.Helper()
	for _, known := range []bool{false, true} {
		e := hashed(name)
		if err := s.log.Append(t.Context(), e); err != nil || e.Requests[0].Results[0].Duplicate != known {
			t.Fatalf("%s: got %v, %+v, want a duplicate: %t", s.address, err, e, known)
		}
	}
}

// TestHashKey: all servers of a new cluster have the key of its first one,
// whether they got the entry or the state. They recognize events by it. A
// server whose program does not read keys cannot join.
func TestHashKey(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{trailing: 1, Version: "v9"})
	first := c.servers[0]
	second := c.add()
	c.lead(func(l *Log) error { return l.Add(second.id, second.address, true) })
	second.machine.await(first.machine.Applied())
	if err := second.log.Append(t.Context(), &entry.HashKey{Key: testKey}); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.servers {
		if err := s.log.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		e := hashed("a")
		if s.log.carry(e); !e.Carries {
			t.Errorf("%s: no entry carries a hash under the key", s.address)
		}
	}
	first.wantKnown(t, "a")
	second.wantKnown(t, "b")
	older := change{ID: strings.Repeat("0", 32), Address: "127.0.0.1:99", Entries: version.Contents}
	if err := c.awaitLeader().log.admits(&older); err == nil || !strings.Contains(err.Error(), "entries of version 2") {
		t.Errorf("an older program: got %v", err)
	}
	snapshot(t, first, second)
	third := c.add()
	c.lead(func(l *Log) error { return l.Add(third.id, third.address, true) })
	third.machine.awaitReplaced(1)
	for _, s := range c.servers {
		s.machine.await(c.awaitLeader().machine.Applied())
		// a received state is there a moment before its version is noted
		eventually(t, s.address+" has the key", func() bool { return s.machine.Keyed() && s.log.encoding.Load() == version.Keys })
	}
	third.wantKnown(t, "c")
	third.stop()
	third.start()
	c.awaitLeader()
	third.wantKnown(t, "d")
	c.settle()
	if events := c.wantEqual(); len(events) != 4 {
		t.Errorf("got the events %v", events)
	}
}

// TestHashKeyForOlder: as long as a member is not known to read keys, no key
// gets into the log.
func TestHashKeyForOlder(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 2, rarely)
	l := c.awaitLeader()
	if err := l.log.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	say := func(reads int) {
		l.log.others.mu.Lock()
		defer l.log.others.mu.Unlock()
		for id, known := range l.log.others.known {
			known.Entries = reads
			l.log.others.known[id] = known
		}
	}
	for read := range reads {
		say(read)
		err := l.log.Append(t.Context(), &entry.HashKey{Key: testKey})
		if !errors.Is(err, version.ErrNotRead) || l.machine.Keyed() || l.log.encoding.Load() != version.Contents {
			t.Errorf("a member reads version %d: got %v, keyed %t, version %d", read, err, l.machine.Keyed(), l.log.encoding.Load())
		}
	}
	say(reads)
	if err := l.log.Append(t.Context(), &entry.HashKey{Key: testKey}); err != nil || !l.machine.Keyed() {
		t.Errorf("got %v, keyed %t", err, l.machine.Keyed())
	}
}

// TestKeyOfStateAlone: a log that begins with the state of a server that stood
// alone, and has a key, admits no program that does not read keys.
func TestKeyOfStateAlone(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, rarely)
	s := c.servers[0]
	s.stop()
	m, err := openStore(s.fs)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(m.Apply(m.Applied()+1, &entry.HashKey{Key: testKey}), m.Sync(), m.s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.fs.RemoveAll(logDir); err != nil {
		t.Fatal(err)
	}
	s.start()
	if s.log.encoding.Load() != version.Keys {
		t.Errorf("the log may have entries of version %d", s.log.encoding.Load())
	}
}
