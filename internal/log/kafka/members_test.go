package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"trackway/internal/log/raft"
)

// TestClean: what was applied leaves the topic once all members have it. A
// member that is down keeps it there until it is removed. A server that comes
// later gets the state of another one.
func TestClean(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, Options{})
	a.visit(t, "a1", "secret")
	b.wants(t, "a1", "secret")
	await(t, func() error { return a.Clean(t.Context()) })
	if topicHolds(t, url, a.o.Topic, "secret") {
		t.Error("the topic still holds it")
	}
	a.visit(t, "a2")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a.visit(t, "hidden")
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	if err := a.Clean(short); err == nil || !topicHolds(t, url, a.o.Topic, "hidden") {
		t.Errorf("the entry was deleted, though a member lacks it: %v", err)
	}
	cancel()
	if err := a.Expel(t.Context(), a.ID()); !errors.Is(err, ErrRuns) {
		t.Errorf("a server that runs was removed: %v", err)
	}
	if err := a.Expel(t.Context(), b.ID()); err != nil {
		t.Fatal(err)
	}
	await(t, func() error { return a.Clean(t.Context()) })
	if topicHolds(t, url, a.o.Topic, "hidden") {
		t.Error("it was not deleted")
	}
	for what, late := range map[string]*server{"a member": serve(t, url, b.machine, b.o), "a new server": serve(t, url, new(state), a.o.fresh(t))} {
		if err := <-late.fatal; !errors.Is(err, raft.ErrRestart) {
			t.Fatalf("%s: %v", what, err)
		}
		late = late.again(t, url)
		awaitReady(t, late.Log)
		late.wants(t, "a1", "secret", "a2", "hidden")
	}
}

// fresh returns the options of another server.
func (o Options) fresh(t *testing.T) Options {
	t.Helper()
	o.Dir = t.TempDir()
	return o
}

func topicHolds(t *testing.T, url, topic, text string) bool {
	t.Helper()
	client := clientOf(t, url, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	for {
		for _, r := range client.PollFetches(t.Context()).Records() {
			if strings.Contains(string(r.Value), text) {
				return true
			}
			if r.Offset == end.Offset-1 {
				return false
			}
		}
	}
}

// TestCopied: two servers with copies of one data directory cannot tell their
// entries apart, so one of them ends, or both do.
func TestCopied(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, _ := two(t, url, Options{})
	o := a.o.fresh(t)
	if err := os.CopyFS(o.Dir, os.DirFS(a.o.Dir)); err != nil {
		t.Fatal(err)
	}
	b := serve(t, url, new(state), o)
	select {
	case err := <-a.fatal:
		a.fatal <- err
		a.refuses(t, "is a copy")
	case err := <-b.fatal:
		b.fatal <- err
		b.refuses(t, "is a copy")
	case <-time.After(time.Minute):
		t.Error("both go on")
	}
}

// TestTrim: the server that leads deletes what all have, except for the last
// entries.
func TestTrim(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, Options{trailing: 10})
	for n := range 30 {
		a.visit(t, fmt.Sprint("a", n))
	}
	await(t, func() error {
		if index, err := a.group.lowest(0); err != nil || index != a.machine.Applied() {
			return fmt.Errorf("all have entry %d: %w", index, err)
		}
		return nil
	})
	if err := a.trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	if topicHolds(t, url, a.o.Topic, "a5") || !topicHolds(t, url, a.o.Topic, "a25") {
		t.Error("the topic has other records")
	}
	b = b.again(t, url)
	awaitReady(t, b.Log)
	b.visit(t, "b1")
}

// TestLeader: one server leads. If it stops, the other one leads in a later
// term, and a server that starts again is not the leader of an earlier start.
func TestLeader(t *testing.T) {
	t.Parallel()
	url := urlOf(fake(t))
	a, b := two(t, url, Options{Heartbeat: 2 * time.Second}) // a busy machine must not cost it its leadership
	leads := func(s *server) func() error {
		return func() error {
			if _, leads := s.Leading(); !leads {
				return errors.New("it does not lead")
			}
			return nil
		}
	}
	await(t, leads(a)) // it has begun the log
	first, _ := a.Leading()
	if _, both := b.Leading(); both {
		t.Error("both lead")
	}
	await(t, func() error {
		if at, known := b.Leader(); !known || at.ID != a.Self() {
			return fmt.Errorf("the other one knows %v", at)
		}
		return nil
	})
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, still := a.Leading(); still {
		t.Error("it leads after its end")
	}
	await(t, leads(b))
	second, _ := b.Leading()
	a = serve(t, url, a.machine, a.o)
	awaitReady(t, a.Log)
	await(t, func() error { // it has heard of the other one
		if at, known := a.Leader(); !known || at.ID != b.Self() {
			return fmt.Errorf("it knows %v", at)
		}
		return nil
	})
	if _, leads := a.Leading(); leads || second <= first {
		t.Errorf("the terms are %d and %d, and the first one leads again: %v", first, second, leads)
	}
}
