package trial

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/replay"
	"trackway/internal/limit/traffic"
)

var policies = []trackway.Policy{
	{Name: "api", Paths: []string{"/api/"}, Limit: 30, Window: 30 * time.Second, Per: trackway.PerIP, IPv6Prefix: 64},
	{Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, Per: trackway.PerIP, IPv6Prefix: 64, NoLooserThan: "api"},
}

// bench returns a bench with a record of some frames, in each of which one
// caller makes a number of calls.
func bench(t *testing.T, frames ...int) *Bench {
	t.Helper()
	r := traffic.New(filepath.Join(t.TempDir(), "traffic"), []string{"/api/"}, slog.New(slog.DiscardHandler))
	r.Reload(traffic.Settings{Record: true, Keep: time.Hour, MaxBytes: 1 << 30})
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, n := range frames {
		for range n {
			c := &limit.Call{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), Method: "GET", Route: "/api/status", Path: "/api/status"}
			r.Note(time.Now(), c, &limit.Decision{Allowed: true})
		}
		if err := r.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	return &Bench{Record: r, Limits: func() replay.Limits { return replay.Limits{Policies: policies} }}
}

func TestTry(t *testing.T) {
	t.Parallel()
	b := bench(t, 5, 9)
	got, err := b.Try(t.Context(), "api", 4, time.Minute)
	if err != nil || got.Result == nil || got.Part.Cut {
		t.Fatalf("got %+v, %v", got, err)
	}
	if p := got.Result.Policy; p.Limit != 4 || p.Window != 60 || p.Calls != 14 || p.Refused != 6 || len(got.Result.Callers) != 2 {
		t.Errorf("got %+v", p)
	}
	if _, err := b.Try(t.Context(), "none", 4, time.Minute); err == nil {
		t.Error("there is no such policy")
	}
	if _, err := b.Try(t.Context(), "api", 1<<30, time.Minute); err == nil {
		t.Error("there is no such limit")
	}
}

// Only as much of the record is read as lies within the bounds, and the answer
// says so.
func TestBounds(t *testing.T) {
	t.Parallel()
	b := bench(t, 5, 9, 3)
	b.most = traffic.Most{Rows: 1000, Calls: 1000, Callers: 1}
	got, err := b.Try(t.Context(), "api", 4, time.Minute)
	if err != nil || !got.Part.Cut {
		t.Errorf("got %+v, %v, want only the newest part", got, err)
	}
	advice, err := b.Suggest(t.Context(), replay.Wish{Policy: "api", Share: 100})
	if err != nil || !advice.Part.Cut || advice.Result == nil || advice.Result.Name != "api" {
		t.Errorf("got %+v, %v", advice, err)
	}
}

func TestNothingRecorded(t *testing.T) {
	t.Parallel()
	b := bench(t)
	b.Record.Reload(traffic.Settings{Keep: time.Hour, MaxBytes: 1 << 30})
	b.Record = traffic.New(filepath.Join(t.TempDir(), "traffic"), nil, slog.New(slog.DiscardHandler))
	got, err := b.Try(t.Context(), "api", 4, time.Minute)
	if err != nil || got.Result != nil || !got.Part.From.IsZero() {
		t.Errorf("got %+v, %v", got, err)
	}
	advice, err := b.Suggest(t.Context(), replay.Wish{Policy: "api", Share: 100})
	if err != nil || advice.Result != nil || advice.Warnings == nil {
		t.Errorf("got %+v, %v", advice, err)
	}
}

// An attempt that takes too long is followed by ones with less to read. If even
// the last takes too long, the server has no time.
func TestSlow(t *testing.T) {
	t.Parallel()
	b := bench(t, 1, 1, 1, 1, 1, 1, 1, 1)
	b.most = traffic.Most{Rows: 1000, Calls: 1000, Callers: 4}
	var parts []Part
	part, err := b.attempt(t.Context(), func(_ replay.Source, p Part) error {
		parts = append(parts, p)
		if len(parts) < 2 {
			return ErrSlow
		}
		return nil
	})
	if err != nil || len(parts) != 2 || part != parts[1] || part.From.Before(parts[0].From) {
		t.Errorf("got %+v, %v after %+v", part, err, parts)
	}
	b.patience = time.Nanosecond
	if _, err := b.Try(t.Context(), "api", 4, time.Minute); !errors.Is(err, ErrSlow) {
		t.Errorf("got %v", err)
	}
}

// A trial ends when its caller has gone.
func TestGone(t *testing.T) {
	t.Parallel()
	b := bench(t, 3)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	tries := 0
	_, err := b.attempt(ctx, func(from replay.Source, _ Part) error {
		tries++
		cancel(gone)
		_, err := from(func(int64, []traffic.Row) error { return nil })
		return err
	})
	if !errors.Is(err, gone) || tries != 1 {
		t.Errorf("got %v after %d tries", err, tries)
	}
}
