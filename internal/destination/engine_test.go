package destination_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		t.Helper()
		var m destinationtest.Memory
		return &destinationtest.Partner{
			Config: config.Destination{Name: "memory", Kind: "memory"},
			Open:   m.Sink, Tables: func(*testing.T) *destinationtest.Tables { return m.Tables() },
		}
	})
}

var errDown = errors.New("dial tcp: memory://user:s3cr3t@host is down, pa55word whsec_s3cret")

// TestBatches: a batch ends because of its rows, its bytes, or its age.
func TestBatches(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		m := b.sinks["a"]
		wantBatches := func(want string) {
			b.Helper()
			var batches []string
			for _, w := range m.Batches() {
				batches = append(batches, fmt.Sprintf("%d-%d", w.After, w.Through))
			}
			if got := strings.Join(batches, " "); got != want {
				b.Errorf("got batches %s, want %s", got, want)
			}
		}
		b.add(1, `{}`)
		b.pass(3 * time.Second)
		b.add(1, `{}`)
		b.pass(1900 * time.Millisecond)
		wantBatches("")
		b.pass(time.Second)
		wantBatches("0-2")
		b.add(250, `{}`)
		b.pass(time.Second)
		wantBatches("0-2 2-102 102-202")
		b.pass(5 * time.Second)
		wantBatches("0-2 2-102 102-202 202-252")
		b.add(3, `{"a":"`+strings.Repeat("x", 600_000)+`"}`)
		b.pass(20 * time.Second)
		wantBatches("0-2 2-102 102-202 202-252 252-253 253-254 254-255")
		b.has("a", 255)
	}, "a")
}

// TestDeadForAnHour: the engine keeps trying a dead destination. Another
// destination is not affected, and memory does not grow: the engine reads at
// most two batches for the dead one. Then the destination catches up.
func TestDeadForAnHour(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		var attempts atomic.Int64
		b.sinks["dead"].Fail(func(context.Context, string, *destination.Batch) error {
			attempts.Add(1)
			return errDown
		})
		b.add(10, `{}`)
		b.pass(time.Minute)
		b.has("live", 10)
		b.sinks["live"].Fail(nil)
		for range 60 {
			b.add(100, `{}`)
			b.pass(time.Minute)
		}
		b.has("live", 6010)
		b.has("dead", 0)
		s := b.status("dead")
		if s.State != destination.Retrying || s.LagEvents != 6010 || s.Lag < time.Hour || s.Position != 0 || s.Retries["other"] == 0 {
			b.Errorf("got %+v", s)
		}
		if n := attempts.Load(); n < 60 || n > 80 {
			b.Errorf("%d attempts in an hour", n)
		}
		b.wantClean(s.Error)
		b.sinks["dead"].Fail(nil)
		b.pass(2 * time.Minute)
		b.has("dead", 6010)
		if s := b.status("dead"); s.State != destination.Running || s.LagEvents != 0 {
			b.Errorf("got %+v", s)
		}
	}, "dead", "live")
}

func (b *bubble) wantClean(text string) {
	b.Helper()
	for _, secret := range []string{"s3cr3t", "pa55word", "whsec"} {
		if text == "" || strings.Contains(text, secret) {
			b.Errorf("the error shows a credential, or nothing: %q", text)
		}
	}
}

// TestReadsNoFurther: while the sink refuses a batch, the engine reads only one
// batch ahead.
func TestReadsNoFurther(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		b.sinks["a"].Fail(func(_ context.Context, point string, _ *destination.Batch) error {
			if point == destinationtest.BeforeWriting {
				return errDown
			}
			return nil
		})
		b.add(10_000, `{}`)
		b.pass(time.Hour)
		b.mu.Lock()
		read := b.read
		b.mu.Unlock()
		if read > 220 { // two batches, and what was read of the next piece
			b.Errorf("%d changes were read", read)
		}
	}, "a")
}

// TestBackOff: pauses double up to a minute. If a destination asks for a longer
// pause, it gets that.
func TestBackOff(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		var mu sync.Mutex
		var at []time.Time
		b.sinks["a"].Fail(func(_ context.Context, point string, _ *destination.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if point != destinationtest.Preparing {
				return nil
			}
			at = append(at, time.Now())
			switch {
			case len(at) < 10:
				return errDown
			case len(at) == 10:
				return &destination.BusyError{Err: errDown, After: 10 * time.Minute}
			}
			return nil
		})
		b.add(1, `{}`)
		if err := b.manager.Resume("a"); err != nil { // begins again, with this Fail
			b.Fatal(err)
		}
		b.pass(time.Hour)
		mu.Lock()
		defer mu.Unlock()
		var pauses []string
		for i := 1; i < len(at); i++ {
			pauses = append(pauses, at[i].Sub(at[i-1]).String())
		}
		if got := strings.Join(pauses, " "); got != "1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s 10m0s" {
			b.Errorf("got pauses %s", got)
		}
		if s := b.status("a"); s.Retries["busy"] != 1 || s.Retries["other"] != 9 {
			b.Errorf("got retries %v", s.Retries)
		}
		b.has("a", 1)
	}, "a")
}

// TestBreaker: after some failures of a batch, the engine sends it only once a
// check has succeeded.
func TestBreaker(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		var mu sync.Mutex
		calls := map[string]int{}
		healthy := false
		b.sinks["a"].Fail(func(_ context.Context, point string, _ *destination.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if calls[point]++; point == destinationtest.Preparing || healthy || point == destinationtest.CheckingIt && calls[point] == 1 {
				return nil
			}
			return errDown
		})
		if err := b.manager.Resume("a"); err != nil { // begins again, with these failures
			b.Fatal(err)
		}
		b.add(1, `{}`)
		b.pass(time.Hour)
		mu.Lock()
		if calls[destinationtest.BeforeWriting] != 5 || calls[destinationtest.CheckingIt] < 50 {
			b.Errorf("got calls %v", calls)
		}
		healthy = true
		mu.Unlock()
		b.pass(2 * time.Minute)
		b.has("a", 1)
	}, "a")
}

// TestPositions: the engine refuses a position of another store, or one beyond
// the end of this store, and says what to do. A rewind solves the problem. An
// empty destination gets everything again.
func TestPositions(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		b.add(10, `{}`)
		b.pass(time.Minute)
		b.has("a", 10)
		b.configs[0].Partition = "p01" // commands call it a/p01 then
		b.reload()
		b.pass(time.Minute)
		own := b.sinks["a"].Position()
		for what, p := range map[string]destination.Position{
			"another store": {Store: "ff", Number: 3}, "an older copy": {Store: own.Store, Number: 11},
		} {
			b.sinks["a"].Place(p)
			if err := b.manager.Resume("a"); err != nil {
				b.Fatal(err)
			}
			b.pass(time.Hour)
			s := b.status("a")
			if s.State != destination.Stopped || !strings.Contains(s.Error, what) || !strings.Contains(s.Error, "destinations rewind a/p01 --to") {
				b.Errorf("got %s: %s", s.State, s.Error)
			}
			if n, err := b.manager.Rewind(b.Context(), "a", "7"); n != 7 || err != nil {
				b.Errorf("rewind: %d, %v", n, err)
			}
			b.pass(time.Minute)
			if s := b.status("a"); s.State != destination.Running || b.sinks["a"].Position() != own {
				b.Errorf("got %s: %s; position %v", s.State, s.Error, b.sinks["a"].Position())
			}
		}
		b.sinks["a"].Place(destination.Position{})
		b.sinks["a"].Fail(failOnce(errDown)) // so that it is prepared again
		b.add(1, `{}`)
		b.pass(time.Minute)
		batches := b.sinks["a"].Batches()
		if last := batches[len(batches)-1]; last.After != 0 || last.Through != 11 {
			b.Errorf("the empty destination got the changes after %d", last.After)
		}
		if _, err := b.manager.Rewind(b.Context(), "a", "12"); err == nil {
			b.Error("rewound beyond the end")
		}
		if _, err := b.manager.Rewind(b.Context(), "other", "1"); !errors.Is(err, destination.ErrUnknown) {
			b.Errorf("got %v", err)
		}
	}, "a")
}

func failOnce(err error) func(context.Context, string, *destination.Batch) error {
	failed := false
	return func(_ context.Context, point string, _ *destination.Batch) error {
		if failed || point != destinationtest.BeforeWriting {
			return nil
		}
		failed = true
		return err
	}
}

// TestReload: destinations are added, changed, paused and removed, while
// another one continues. A destination that returns continues where it was.
func TestReload(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		b.add(10, `{}`)
		b.pass(time.Minute)
		b.sinks["b"] = new(destinationtest.Memory)
		b.configs = append(b.configs, configOf("b"))
		b.reload()
		b.pass(time.Minute)
		b.has("b", 10)
		b.configs[1].Rows = 7
		b.reload()
		if err := b.manager.Pause("b"); err != nil {
			b.Fatal(err)
		}
		b.add(10, `{}`)
		b.pass(time.Minute)
		b.has("b", 10)
		b.has("a", 20)
		if s := b.status("b"); s.State != destination.Paused || s.LagEvents != 10 {
			b.Errorf("got %+v", s)
		}
		if err := b.manager.Resume("b"); err != nil {
			b.Fatal(err)
		}
		b.pass(time.Minute)
		b.has("b", 20)
		b.configs = b.configs[:1]
		b.reload()
		if all, _ := b.Cursors(); len(all) != 1 || len(b.manager.List()) != 1 {
			b.Errorf("a removed destination is still there: %v", all)
		}
		b.add(10, `{}`)
		b.configs = append(b.configs, configOf("b"))
		b.configs[1].Paused = true
		b.reload()
		b.pass(time.Minute)
		if s := b.status("b"); s.State != destination.Paused || s.Position != 20 {
			b.Errorf("got %+v", s)
		}
		if err := b.manager.Resume("b"); err == nil {
			b.Error("resumed what the configuration pauses")
		}
		b.configs[1].Paused = false
		b.reload()
		b.pass(time.Minute)
		b.has("b", 30)
		b.has("a", 30)
		if b.opened["a"] != 1 || b.opened["b"] != 4 {
			b.Errorf("opened %v", b.opened)
		}
	}, "a")
}

// TestStop: a stop lets a running write finish, but not for long.
func TestStop(t *testing.T) {
	t.Parallel()
	for takes, most := range map[time.Duration]time.Duration{3 * time.Second: 3 * time.Second, time.Hour: 5 * time.Second} {
		run(t, func(b *bubble) {
			b.sinks["a"].Fail(func(ctx context.Context, point string, _ *destination.Batch) error {
				if point == destinationtest.BeforeWriting {
					select {
					case <-time.After(takes):
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}
				return nil
			})
			b.add(100, `{}`)
			b.pass(300 * time.Millisecond) // it is being written
			begun := time.Now()
			b.stop()
			if took := time.Since(begun); took > most {
				b.Errorf("the stop took %s", took)
			}
			n := 0
			if takes == most {
				n = 100
			}
			b.has("a", n)
		}, "a")
	}
}

// TestPanic: a bug in a destination neither ends the process nor loses
// anything.
func TestPanic(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		once := failOnce(errDown)
		b.sinks["a"].Fail(func(ctx context.Context, point string, batch *destination.Batch) error {
			if once(ctx, point, batch) != nil {
				panic("a bug at user:s3cr3t@host, pa55word whsec_s3cret")
			}
			return nil
		})
		b.add(3, `{}`)
		b.pass(5500 * time.Millisecond)
		b.wantClean(b.status("a").Error)
		b.pass(time.Minute)
		b.has("a", 3)
	}, "a")
}

// TestChecks: a destination is checked at the start, and after each hour
// without a write.
func TestChecks(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		var checks atomic.Int64
		b.sinks["a"].Fail(func(_ context.Context, point string, _ *destination.Batch) error {
			if point == destinationtest.CheckingIt {
				checks.Add(1)
			}
			return nil
		})
		synctest.Wait()
		b.pass(150 * time.Minute)
		before := checks.Load()
		if before < 2 || before > 3 {
			b.Errorf("%d checks in two and a half hours of idleness", before)
		}
		if err := b.manager.Check(b.Context(), "a"); err != nil || checks.Load() != before+1 {
			b.Errorf("check: %v, %d checks", err, checks.Load()-before)
		}
	}, "a")
}

// TestChecksWhileOthersCome: changes that a destination does not get do not
// delay its checks.
func TestChecksWhileOthersCome(t *testing.T) {
	t.Parallel()
	run(t, func(b *bubble) {
		b.configs[0].Events = []string{"none"}
		b.reload()
		var checks atomic.Int64
		b.sinks["a"].Fail(func(_ context.Context, point string, _ *destination.Batch) error {
			if point == destinationtest.CheckingIt {
				checks.Add(1)
			}
			return nil
		})
		for range 15 {
			b.add(1, `{}`)
			b.pass(10 * time.Minute)
		}
		if s := b.status("a"); s.Position != 15 || s.Batches != 0 {
			b.Errorf("got %+v, want the changes to pass without a batch", s)
		}
		if n := checks.Load(); n < 2 {
			b.Errorf("%d checks in two and a half hours without a write", n)
		}
	}, "a")
}
