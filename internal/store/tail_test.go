package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"trackway"
)

func tailOf(t *testing.T, s *Store, after uint64) (types []string) {
	t.Helper()
	err := s.Tail(after, func(e *trackway.Event) bool {
		types = append(types, e.Type)
		return len(types) < 3
	})
	if err != nil {
		t.Fatal(err)
	}
	return types
}

// TestTailIsDurable promises that the tail shows nothing that is not on the disk: the barrier is held, and meanwhile the event,
// which other commands see already, is not in the tail, and nobody is woken.
func TestTailIsDurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := openTest(t)
		mustApply(t, s, event("before", 1, nil, identifierOf("registered", "r")))
		sync, hold, held := s.sync, make(chan struct{}), make(chan struct{})
		s.sync = func() error {
			close(held)
			<-hold
			return sync()
		}
		woken := make(chan error, 1)
		go func() { woken <- s.Await(t.Context(), 1) }()
		go func() {
			_ = s.Apply([]trackway.Command{event("held", 2, nil, identifierOf("registered", "r"))}, make([]trackway.Result, 1))
		}()
		<-held
		if s.nextSeq != 3 || s.Synced() != 1 {
			t.Errorf("the next event is %d, and the log is durable up to %d: want 3 and 1", s.nextSeq, s.Synced())
		}
		if diff := cmp.Diff([]string{"before"}, tailOf(t, s, 0)); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
		if len(woken) > 0 {
			t.Error("woken before the barrier")
		}
		close(hold)
		if err := <-woken; err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"before", "held"}, tailOf(t, s, 0)); diff != "" {
			t.Error("(-want +got)\n" + diff)
		}
	})
}

func TestTail(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMem()
	s := mustOpen(t, fs)
	if s.Synced() != 0 || len(tailOf(t, s, 0)) != 0 {
		t.Error("a new store has a tail")
	}
	r := identifierOf("registered", "r")
	mustApply(t, s, event("a", 1, nil, r), update(2, map[string]string{"p": "1"}, r), event("b", 3, nil, r))
	mustApply(t, s, event("b", 3, nil, r)) // a duplicate
	mustApply(t, s, event("c", 4, nil, r), event("d", 5, nil, r))
	for after, want := range []string{"a b c", "b c d", "c d", "d", "", ""} {
		if got := strings.Join(tailOf(t, s, uint64(after)), " "); got != want {
			t.Errorf("after %d: got %q, want %q", after, got, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, fs)
	defer s.Close()
	if got := s.Synced(); got != 4 {
		t.Errorf("opened again: durable up to %d, want 4", got)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	if err := s.Await(ctx, 4); !errors.Is(err, stopped) {
		t.Errorf("got %v, want the cause", err)
	}
}

func TestWho(t *testing.T) {
	t.Parallel()
	s := openTest(t)
	cookie, registered := identifierOf("cookie", "c"), identifierOf("registered", "r")
	mustApply(t, s, event("a", 1, nil, registered), event("b", 2, nil, cookie))
	before := mustFind(t, s, cookie)
	mustApply(t, s, event("c", 3, nil, registered, cookie))
	who, ids, err := s.Who(demo, before)
	if err != nil || who != mustFind(t, s, registered) || who == before || len(ids) != 2 {
		t.Errorf("got %d with %v, %v", who, ids, err)
	}
	if who, ids, err := s.Who(demo, 99); who != 0 || ids != nil || err != nil {
		t.Errorf("an unknown customer is %d with %v, %v", who, ids, err)
	}
}
