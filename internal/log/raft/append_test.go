package raft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/log/group"
)

// TestAnswerIsLost: an entry whose answer is lost is sent again, and takes
// effect once. If all answers are lost, the appender learns that it is not
// known what became of it.
func TestAnswerIsLost(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 3 * time.Second}) // the follower must not lead
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	follower := c.except(leader)[0]
	l.fill(t, follower.log, 3)
	patient := follower.log.o.patience
	for i, want := range []error{nil, nil, nil, ErrUnknown} {
		lost := i
		if want != nil {
			lost, follower.log.o.patience = math.MaxInt, 300*time.Millisecond
		}
		c.lose(lost)
		name := "lost" + strings.Repeat("+", i)
		e := visit(name)
		if err := follower.log.Append(t.Context(), e); !errors.Is(err, want) {
			t.Errorf("%d answers are lost: got %v, want %v", lost, err, want)
		} else if r := e.Requests[0].Results[0]; want == nil && (r.Seq == 0 || r.Duplicate) {
			t.Errorf("%d answers are lost: got %+v", lost, r)
		}
		l.became[name] = nil // it is there once, whatever its appender knows
	}
	c.lose(0)
	follower.log.o.patience = patient
	c.settle()
	l.check(t, c.wantEqual())
}

// TestSilentLeader: an entry does not wait for the answer of a leader that was
// cut off without an end of its connections. It goes to the next leader.
func TestSilentLeader(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	others := c.except(leader)
	for _, s := range others {
		s.log.o.patience = time.Hour // the test would end first
		l.fill(t, s.log, 3)
	}
	c.silence(leader, true)
	for _, s := range others {
		l.fill(t, s.log, 2*group.MaxFlights)
	}
	c.silence(leader, false)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestUnavailable: a server that reaches no leader stores nothing and says so.
// It goes on when it reaches the others again.
func TestUnavailable(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{})
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	l.fill(t, leader.log, 1)
	alone := c.except(leader)[0]
	c.sever(alone, true, c.except(alone)...)
	patient := alone.log.o.patience
	alone.log.o.patience = 300 * time.Millisecond
	if err := alone.log.Append(t.Context(), visit("alone")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
	l.became["alone"] = ErrUnavailable
	alone.log.o.patience = patient
	c.sever(alone, false, c.except(alone)...)
	l.fill(t, alone.log, 1)
	c.settle()
	l.check(t, c.wantEqual())
}

// TestAppendAtEnd: a caller of a server that cannot go on, or has to be opened
// again, may try again.
func TestAppendAtEnd(t *testing.T) {
	t.Parallel()
	for _, why := range []error{ErrRestart, errKilled} {
		log := newCluster(t, 1, Options{}).servers[0].log
		log.fatal(why)
		if err := log.Append(t.Context(), visit("never")); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%v: got %v, want %v", why, err, ErrUnavailable)
		}
	}
}

// TestLateServerStops: a server that has not applied an entry yet does not wait
// for it for ever, if nobody wants to know or the server stops. If it was
// removed meanwhile, it never gets the entry.
func TestLateServerStops(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 3 * time.Second, patience: 6 * time.Second}) // the late one must not lead
	late := c.except(c.awaitLeader())[0]
	c.register()
	late.machine.await(c.leader().log.Position())
	late.machine.mu.Lock()
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error)
	add := func(ctx context.Context) { answers <- late.log.Append(ctx, new(entry.Register)) }
	before := late.log.acknowledged.Load()
	go add(ctx)
	eventually(t, "the entry is in the log", func() bool { return late.log.acknowledged.Load() > before })
	cancel()
	if err := <-answers; !errors.Is(err, ErrUnknown) {
		t.Errorf("nobody waits: got %v, want %v", err, ErrUnknown)
	}
	before = late.log.acknowledged.Load()
	go add(t.Context())
	eventually(t, "the entry is in the log", func() bool { return late.log.acknowledged.Load() > before })
	late.log.Stopping()
	if err := <-answers; !errors.Is(err, ErrUnknown) {
		t.Errorf("the server stops: got %v, want %v", err, ErrUnknown)
	}
	late.machine.mu.Unlock()
	c.settle()
}

// TestErrorsAreAnswered: the caller of the API learns that the call may be
// repeated.
func TestErrorsAreAnswered(t *testing.T) {
	t.Parallel()
	for _, err := range []error{ErrUnavailable, ErrUnknown, errForeign} {
		if known, ok := errors.AsType[*trackway.Error](fmt.Errorf("apply 3 commands: %w", err)); !ok || known.Code != trackway.Overloaded {
			t.Errorf("%v is of kind %v", err, known)
		}
	}
}

// TestLargeRequest: a request that is too large for an entry is carried out in
// several.
func TestLargeRequest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{})
	log := c.servers[0].log
	const n = 14 // of a megabyte each
	large := &entry.Commands{Requests: make([]entry.Request, 1)}
	q := &large.Requests[0]
	for i := range n {
		one := visit(fmt.Sprintf("large%d", i)).Requests[0]
		one.Commands[0].Properties = append(one.Commands[0].Properties, trackway.Property{Name: "p", Value: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)})
		q.Commands, q.Results = append(q.Commands, one.Commands...), append(q.Results, one.Results...)
	}
	done, entries := 0, 0
	for rest := *q; len(rest.Commands) > 0; entries++ {
		e := &entry.Commands{Requests: []entry.Request{rest}}
		if err := log.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		more := e.Requests[0].Done
		rest.Commands, rest.Results = rest.Commands[more:], rest.Results[more:]
		done += more
	}
	for i, r := range q.Results {
		if r.Seq == 0 {
			t.Errorf("command %d was not carried out", i)
		}
	}
	if done != n || entries < 2 {
		t.Errorf("%d commands in %d entries", done, entries)
	}
}

// TestRefusals: an entry that cannot be sent is refused at once.
func TestRefusals(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, Options{})
	log := c.servers[0].log
	large := visit("large")
	large.Requests[0].Commands[0].Properties = []trackway.Property{{Name: "p", Value: make([]byte, maxEntry)}}
	if err := log.Append(t.Context(), large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("the client is gone")
	cancel(why)
	if err := log.Append(ctx, visit("late")); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	if err := log.Append(t.Context(), &entry.Commands{}); err != nil {
		t.Errorf("nothing at all: %v", err)
	}
}

// TestForeignEntry: the leader refuses an entry that it cannot read, because no
// server could apply it.
func TestForeignEntry(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3, Options{Heartbeat: 3 * time.Second}) // the follower must not lead
	l := ledger{became: make(map[string]error)}
	leader := c.awaitLeader()
	follower := c.except(leader)[0]
	l.fill(t, follower.log, 1) // it knows the leader
	for _, b := range [][]byte{[]byte("no entry"), nil, entry.Append(nil, visit("never"))} {
		if _, err := follower.log.deliver(b); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%q: got %v", b, err)
		}
	}
	l.fill(t, follower.log, 1)
	c.settle()
	l.check(t, c.wantEqual())
}
