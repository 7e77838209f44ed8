package upkeep

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/query"
)

// fake is a store. The type of an event depends on its sequence number, modulo
// the number of types.
type fake struct {
	mu       sync.Mutex
	pending  int
	takes    time.Duration // duration of a clean-up
	err      error         // of a clean-up
	cleaned  []time.Duration
	start    time.Time
	events   []fakeEvent // by sequence number, from 1
	looked   []uint64
	reclaims [][2]uint64
	newest   trackway.Micros
	onLook   func() // called at each look at the log
}

func (f *fake) Newest() (trackway.Micros, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newest, nil
}

type fakeEvent struct {
	typ  string
	at   trackway.Micros
	gone bool
}

func (f *fake) CleanUp(ctx context.Context, now func() trackway.Micros) (int, error) {
	f.mu.Lock()
	n, err := f.pending, f.err
	if n > 0 {
		f.cleaned = append(f.cleaned, time.Since(f.start))
	}
	f.mu.Unlock()
	if n == 0 || err != nil {
		return 0, err
	}
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if now() != trackway.MicrosOf(time.Now()) {
		return 0, errors.New("wrong time")
	}
	f.mu.Lock()
	f.pending -= n
	f.mu.Unlock()
	return n, nil
}

func (f *fake) Expire(_ context.Context, from, to uint64, before func(uint32, string) trackway.Micros) (query.Expired, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = append(f.looked, from)
	if f.onLook != nil {
		f.onLook()
	}
	x := query.Expired{Soonest: query.Never, End: to > uint64(len(f.events))+1}
	for seq := max(from, 1); seq < min(to, uint64(len(f.events))+1); seq++ {
		e := &f.events[seq-1]
		bound := before(1, e.typ)
		switch {
		case e.gone || bound == query.Forever:
		case e.at < bound:
			e.gone = true
			x.Removed++
		default:
			x.Soonest = min(x.Soonest, e.at-bound)
		}
	}
	return x, nil
}

func (f *fake) Reclaim(_ context.Context, from, to uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reclaims = append(f.reclaims, [2]uint64{from, to})
	return nil
}

func run(t *testing.T, f *fake, keep trackway.Retention, do func(u *Upkeep, reg *prometheus.Registry)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.start = time.Now()
		reg := prometheus.NewRegistry()
		u := New(f, []trackway.Project{{Number: 1, Keep: keep}}, slog.New(slog.DiscardHandler), reg)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- u.Run(ctx) }()
		do(u, reg)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func counted(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatal("there is no metric", name)
	return 0
}

// wait lets time pass, and lets everything happen that is due then.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (f *fake) erase(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending += n
}

// TestCleanUp: the clean-up after the first erasure is done within ten seconds.
// Then follows a rest of nine times its duration.
func TestCleanUp(t *testing.T) {
	t.Parallel()
	f := &fake{takes: 20 * time.Second, pending: 2}
	run(t, f, trackway.Retention{}, func(_ *Upkeep, reg *prometheus.Registry) {
		wait(31 * time.Second) // done after 30
		f.erase(1)
		wait(5 * time.Minute)
		f.erase(1)
		wait(time.Hour)
		if got := counted(t, reg, "trackway_upkeep_erasures_total"); got != 4 {
			t.Errorf("%v erasures are counted, want 4", got)
		}
	})
	if diff := cmp.Diff([]time.Duration{10 * time.Second, 210 * time.Second, 410 * time.Second}, f.cleaned); diff != "" {
		t.Error(diff)
	}
}

func TestCleanUpFails(t *testing.T) {
	t.Parallel()
	f := &fake{pending: 1, err: errors.New("no space left on device")}
	run(t, f, trackway.Retention{}, func(_ *Upkeep, reg *prometheus.Registry) {
		wait(80 * time.Second)
		f.mu.Lock()
		f.err = nil
		f.mu.Unlock()
		wait(time.Minute)
		if got := counted(t, reg, "trackway_upkeep_failures_total"); got != 2 {
			t.Errorf("%v failures are counted, want 2", got)
		}
	})
	if len(f.cleaned) != 3 || f.pending != 0 {
		t.Errorf("tried at %v, %d left", f.cleaned, f.pending)
	}
}

// TestExpire: events are removed when they expire, and a part of the log that
// has nothing to lose is not read again.
func TestExpire(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	f := &fake{}
	keep := trackway.Retention{Default: 10 * day, Events: map[string]time.Duration{"short": day, "kept": 0}}
	run(t, f, keep, func(u *Upkeep, _ *prometheus.Registry) {
		f.mu.Lock()
		begin := trackway.MicrosOf(time.Now())
		for range segment {
			f.events = append(f.events, fakeEvent{typ: "kept", at: begin})
		}
		for range segment {
			f.events = append(f.events, fakeEvent{typ: "short", at: begin}, fakeEvent{typ: "other", at: begin})
		}
		f.mu.Unlock()
		gone := func(want int) {
			t.Helper()
			f.mu.Lock()
			defer f.mu.Unlock()
			got := 0
			for _, e := range f.events {
				if e.gone {
					got++
				}
			}
			if got != want {
				t.Errorf("after %v %d events are gone, want %d", time.Since(f.start), got, want)
			}
		}
		wait(23 * time.Hour)
		gone(0)
		f.mu.Lock()
		if n := len(f.looked); n > 40 || n < 24 {
			t.Errorf("looked %d times in a day, at %v", n, f.looked)
		}
		f.mu.Unlock()
		wait(3 * time.Hour)
		gone(segment)
		wait(8 * day)
		gone(segment)
		wait(2 * day)
		gone(2 * segment)
		f.mu.Lock()
		if n := len(slices.DeleteFunc(slices.Clone(f.looked), func(from uint64) bool { return from != 0 })); n > 2 {
			t.Errorf("what is kept for ever was read %d times", n)
		}
		if diff := cmp.Diff([][2]uint64{{segment, 3 * segment}, {segment, 4 * segment}}, f.reclaims); diff != "" {
			t.Errorf("reclaimed (-want): %s", diff)
		}
		f.mu.Unlock()
		u.Reload([]trackway.Project{{Number: 1, Keep: trackway.Retention{Default: day}}})
		wait(time.Minute)
		gone(3 * segment)
	})
}

// TestNothingToExpire: if everything is kept, the log is not read.
func TestNothingToExpire(t *testing.T) {
	t.Parallel()
	f := &fake{events: make([]fakeEvent, 10)}
	run(t, f, trackway.Retention{}, func(*Upkeep, *prometheus.Registry) { wait(100 * time.Hour) })
	if len(f.looked) > 0 {
		t.Errorf("looked at %v", f.looked)
	}
}

// TestStop: the end of the context ends a clean-up and a look at the log.
func TestStop(t *testing.T) {
	t.Parallel()
	f := &fake{takes: time.Hour, pending: 1, events: make([]fakeEvent, 100*segment)}
	run(t, f, trackway.Retention{Default: time.Hour}, func(*Upkeep, *prometheus.Registry) { wait(10*time.Second + 5*time.Millisecond) })
	if f.pending != 1 {
		t.Error("what was stopped counts as done")
	}
}
