package traffic

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trackway/internal/limit"
)

// again returns a recorder of the same record, as after a restart.
func (r *Recorder) again(t *testing.T, s Settings) *Recorder {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	next := New(r.dir, roots, slog.New(slog.DiscardHandler))
	next.Reload(s)
	return next
}

// The operator's choice overrides the configuration, and holds across restarts
// and reloads until a configuration says the same.
func TestSwitch(t *testing.T) {
	t.Parallel()
	off := always
	off.Record = false
	for name, configured := range map[string]Settings{"off in the configuration": off, "on in the configuration": always} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := New(filepath.Join(t.TempDir(), "traffic"), roots, slog.New(slog.DiscardHandler))
			r.Reload(configured)
			says := func(when string, want bool) {
				t.Helper()
				if r.On() != want {
					t.Errorf("%s: recording is %t, want %t", when, r.On(), want)
				}
			}
			says("at first", configured.Record)
			other := configured
			other.Record = !configured.Record
			if err := r.Switch(other.Record); err != nil {
				t.Fatal(err)
			}
			says("when it was switched", other.Record)
			r.Reload(configured)
			says("after a reload", other.Record)
			r = r.again(t, configured)
			says("after a restart", other.Record)
			if h, err := r.Holding(); err != nil || h.Switched.IsZero() || h.Configured == h.Recording {
				t.Errorf("got %+v, %v, want that somebody chose otherwise", h, err)
			}
			if info, err := os.Stat(r.choicePath()); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("got %v, %v, want a file for its owner only", info, err)
			}
			r.Reload(other)
			says("when the configuration says the same", other.Record)
			r.Reload(configured)
			says("when the configuration changed its mind", configured.Record)
			if r = r.again(t, configured); r.chosen != nil {
				t.Errorf("a choice without effect is still there: %+v", r.chosen)
			}
			if err := errors.Join(r.Switch(other.Record), r.Switch(configured.Record)); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(r.choicePath()); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("got %v, want that the configuration decides again", err)
			}
			r.Reload(other)
			says("when it was switched back, and then the configuration changed", other.Record)
			r.Reload(configured)
			r = r.again(t, configured)
			says("when it was switched and switched back", configured.Record)
			if h, err := r.Holding(); err != nil || !h.Switched.IsZero() {
				t.Errorf("got %+v, %v, want that nobody chose otherwise", h, err)
			}
		})
	}
}

// A switch that cannot be kept changes nothing, and a damaged choice counts for
// nothing.
func TestSwitchFails(t *testing.T) {
	t.Parallel()
	off := always
	off.Record = false
	r := New(filepath.Join(t.TempDir(), "none", "traffic"), roots, slog.New(slog.DiscardHandler))
	r.Reload(off)
	if err := r.Switch(true); err == nil || r.On() {
		t.Errorf("got %v, and recording is %t", err, r.On())
	}
	if err := os.Mkdir(filepath.Dir(r.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.choicePath(), []byte(`{"record":tr`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r = r.again(t, off); r.On() {
		t.Error("calls are recorded because of a damaged file")
	}
}

// Switching off ends the record, and what was noted before is on the disk.
func TestSwitchOffWrites(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	r.come(monday, "192.0.2.1")
	if err := r.Switch(false); err != nil {
		t.Fatal(err)
	}
	r.come(monday, "192.0.2.2")
	r.tick(monday.Add(time.Minute))
	if all, _ := walk(t, r.dir); len(all) != 1 || all[0].Row.Addr.String() != "192.0.2.1" {
		t.Errorf("got %+v", all)
	}
}

func TestHolding(t *testing.T) {
	t.Parallel()
	r := recorder(t, always, monday)
	now := monday
	r.now = func() time.Time { return now }
	r.written.begin(monday)
	r.pruned = monday
	if h, err := r.Holding(); err != nil || h.BytesPerMinute != nil || !h.Recording || h.Keep != 24*3600 || h.MaxBytes != 1<<30 {
		t.Errorf("got %+v, %v", h, err)
	}
	for minute := range 30 {
		if minute == 20 { // the first twenty are forgotten
			r.written.total += 1 << 20
			r.written.marks = nil
			r.written.begin(now)
		}
		r.come(now, "192.0.2.1")
		now = now.Add(time.Minute)
		r.tick(now)
	}
	h, err := r.Holding()
	if err != nil || h.BytesPerMinute == nil || *h.BytesPerMinute < 50 || *h.BytesPerMinute > 500 {
		t.Errorf("got %+v, %v, want the size of a row and its frame each minute", h, err)
	}
	if h.Bytes < 1000 || !h.From.Equal(monday) || h.To.Before(h.From) || h.Failing {
		t.Errorf("got %+v", h)
	}
	if len(r.written.marks) > mostMarks {
		t.Errorf("%d marks are kept", len(r.written.marks))
	}
	if err := r.Switch(false); err != nil {
		t.Fatal(err)
	}
	if h, err := r.Holding(); err != nil || h.BytesPerMinute != nil || h.Recording || h.Bytes == 0 {
		t.Errorf("got %+v, %v, want that nothing is added to it", h, err)
	}
}

// The newest part of a record lies within bounds, ends with the record, and is
// the longest such part.
func TestNewest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "newest-") //nolint:usetesting // each draw needs an empty one, and t keeps all until the end
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		r := New(filepath.Join(dir, "traffic"), roots, slog.New(slog.DiscardHandler))
		r.Reload(always)
		r.covered, r.wrote, r.pruned = monday.Unix(), monday, monday
		var frames []Most // what each has
		for i := range rapid.IntRange(1, 12).Draw(rt, "frames") {
			var has Most
			for n := range rapid.IntRange(0, 4).Draw(rt, "callers") {
				for range rapid.IntRange(1, 5).Draw(rt, "calls") {
					c := callOf("192.0.2.1")
					c.Addr = netip.AddrFrom4([4]byte{10, 0, byte(i), byte(n)})
					r.Note(monday.Add(time.Duration(i)*10*time.Second), c, &limit.Decision{Allowed: true})
					has.Calls++
				}
				has.Rows++
				has.Callers++
			}
			r.drainLocked()
			if err := r.write(monday.Add(time.Duration(i+1) * 10 * time.Second)); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 3).Draw(rt, "file") == 0 {
				r.closeSegment()
			}
			frames = append(frames, has)
		}
		most := Most{
			Rows: rapid.IntRange(1, 30).Draw(rt, "rows"), Calls: rapid.Uint64Range(2, 60).Draw(rt, "most calls"), Callers: rapid.IntRange(1, 30).Draw(rt, "most callers"),
		}
		var sum Most
		first := len(frames) - 1
		for i := first; i >= 0; i-- {
			sum = Most{sum.Rows + frames[i].Rows, sum.Calls + frames[i].Calls, sum.Callers + frames[i].Callers}
			if i < len(frames)-1 && (sum.Rows > most.Rows || sum.Calls >= most.Calls || sum.Callers > most.Callers) {
				break
			}
			first = i
		}
		at := func(i int) time.Time { return monday.Add(time.Duration(i) * 10 * time.Second) }
		want := Extent{From: at(first), To: at(len(frames)).Add(time.Second), Cut: first > 0}
		got, err := Newest(rt.Context(), r.dir, most)
		if err != nil || got != want {
			rt.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestNewestOfNothing(t *testing.T) {
	t.Parallel()
	if e, err := Newest(t.Context(), filepath.Join(t.TempDir(), "traffic"), Most{}); err != nil || e != (Extent{}) {
		t.Errorf("got %+v, %v", e, err)
	}
	r := recorder(t, always, monday)
	r.come(monday, "192.0.2.1")
	r.mustWrite(t, monday.Add(10*time.Second))
	over := errors.New("nobody waits")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	if _, err := Newest(ctx, r.dir, Most{Rows: 9, Calls: 9, Callers: 9}); !errors.Is(err, over) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(r.file.Name(), []byte(magic+"torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := Newest(t.Context(), r.dir, Most{Rows: 9, Calls: 9, Callers: 9}); err != nil || e != (Extent{}) {
		t.Errorf("got %+v, %v of a damaged file", e, err)
	}
}
