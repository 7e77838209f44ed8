package alarm

import (
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trackway/internal/config/alarming"
	"trackway/internal/contract/book"
)

// A sample gets the monotonic clock, by which the meters count. Without it, a
// server whose clock is put right after the start would find no calls.
func TestSampleClock(t *testing.T) {
	t.Parallel()
	state, err := Open(filepath.Join(t.TempDir(), File), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var got time.Time
	w := New(Deps{
		Book: state, Counts: &recorded{}, Leads: func() bool { return true }, Log: slog.New(slog.DiscardHandler),
		Sample: func(now time.Time) (Sample, error) { got = now; return Sample{At: now}, nil },
	}, Setup{})
	w.look(time.Now())
	if !strings.Contains(got.String(), " m=") {
		t.Errorf("got %v, which the monotonic clock is missing from", got)
	}
}

// A clock that is far behind for a while, as on a machine without a battery,
// does not make the server believe that it did not run for decades.
func TestClockWasBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, append(slices.Clone(silences), alarming.UsualOf(alarming.WasDown))...)
		s.weeks(6, "view")
		s.start()
		s.traffic(2, "view")
		s.stop()
		for minute := range 10 { // the first hour of all
			s.look(time.Unix(int64(minute)*60, 0))
		}
		pass(10 * time.Minute)
		s.look(time.Now())
		s.want("it did not run", "ended Was down")
		if gaps := s.Report(time.Now(), nobody).Gaps; len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From) > time.Hour {
			t.Errorf("got %+v, want a gap of ten minutes", gaps)
		}
		for range 4 * 60 {
			pass(time.Minute)
			s.look(time.Now())
		}
		s.want("nothing comes", "ringing Silence: shop")
	})
}

// An alarm that rang before the clock was far behind for a while, and one that
// began meanwhile, say that they ring since the clock was right.
func TestSinceAfterClockWasBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.StoreDamaged), alarming.UsualOf(alarming.DiskFull))
		s.set(func() { s.sample.Damaged = 1 })
		s.start()
		pass(time.Hour)
		s.stop()
		began := time.Now()
		s.set(func() { s.sample.DiskFull = true })
		for minute := range 10 {
			s.look(time.Unix(int64(minute)*60, 0))
		}
		pass(10 * time.Minute)
		s.look(time.Now())
		rows := s.Report(time.Now(), nobody).Ringing
		if len(rows) != 2 {
			t.Fatalf("got %+v", rows)
		}
		for _, row := range rows {
			if row.Since.Before(began.Add(-2*time.Minute)) || row.Since.After(began) {
				t.Errorf("%s rings since %v, and the clock was wrong from %v", row.Kind, row.Since, began)
			}
		}
	})
}

// A clock that was ahead once, and was put right, says nothing about alarms
// that rang before the clock was behind much later.
func TestSinceAfterClockWasAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.StoreDamaged))
		s.start()
		pass(time.Minute)
		s.stop()
		began := time.Now()
		minutes := func(from, to int) {
			for minute := from; minute <= to; minute++ {
				s.look(began.Add(time.Duration(minute) * time.Minute))
			}
		}
		s.look(began.Add(time.Hour)) // ahead
		minutes(1, 70)               // right again
		s.set(func() { s.sample.Damaged = 1 })
		minutes(71, 300)
		minutes(200, 205) // behind
		minutes(310, 311)
		rows := s.Report(time.Now(), nobody).Ringing
		if want := began.Add(71 * time.Minute); len(rows) != 1 || !rows[0].Since.Equal(want) {
			t.Errorf("got %+v, want one that rings since %v", rows, want)
		}
	})
}

// Broken contracts of two long types that begin alike are two alarms.
func TestLongContracts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.ContractBroken))
		s.set(func() {
			for _, end := range []string{"1", "2"} {
				s.sample.Contracts = append(s.sample.Contracts, book.Hour{Project: "shop", Type: strings.Repeat("x", 90) + end, Checked: 1000, Broken: 1000})
			}
		})
		s.start()
		pass(time.Hour)
		if n := s.Ringing()[alarming.ContractBroken]; n != 2 {
			t.Errorf("%d alarms ring", n)
		}
		s.stop()
	})
}

// As many alarms as strangers can cause keep out none about the server itself.
func TestStrangersLeaveRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.KeyRefused), alarming.UsualOf(alarming.DiskFull))
		s.set(func() {
			for i := range 2000 {
				s.sample.Keys = append(s.sample.Keys, Key{"shop", "key" + strconv.Itoa(i), 1000, 1000})
			}
		})
		s.start()
		pass(15 * time.Minute)
		if n := s.Ringing()[alarming.KeyRefused]; n != mostByStrangers {
			t.Errorf("%d keys ring", n)
		}
		s.set(func() { s.sample.DiskFull = true })
		pass(time.Minute)
		s.set(func() {
			for i := range 300 {
				s.sample.Keys = append(s.sample.Keys, Key{"other", "key" + strconv.Itoa(i), 1000, 1000})
			}
		})
		pass(15 * time.Minute)
		told := s.told()
		if !slices.Contains(told, "ringing Disk full") || len(told) != mostNotices {
			t.Errorf("told %d things, among them the full disk: %v", len(told), slices.Contains(told, "ringing Disk full"))
		}
		s.stop()
	})
}

// While the file cannot be written because the disk hangs, the pages and the
// receivers get what is known.
func TestHangingDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.StoreDamaged))
		s.start()
		pass(time.Minute)
		hangs := make(chan struct{})
		write := s.Book.write
		s.set(func() {
			s.sample.Damaged = 1
			s.Book.write = func(path string, data []byte, perm fs.FileMode) error {
				<-hangs
				return write(path, data, perm)
			}
		})
		pass(time.Minute)
		notices, _, _ := s.Book.Pending("ops")
		if s.Ringing()[alarming.StoreDamaged] != 1 || len(s.Report(time.Now(), nobody).Ringing) != 1 || len(notices) != 1 {
			t.Errorf("got %v and %d notices", s.Ringing(), len(notices))
		}
		close(hangs)
		synctest.Wait()
		s.want("it goes on", "ringing Store damaged")
		s.stop()
	})
}

// After a restart, the counts of the last minutes are not known. That ends no
// alarm.
func TestRestartWithoutCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.KeyRefused), alarming.UsualOf(alarming.ContractBroken))
		sends := func(n int) {
			s.set(func() {
				s.sample.Keys = []Key{{"shop", "web", uint64(n), uint64(n)}}
				s.sample.Contracts = []book.Hour{{Project: "shop", Type: "buy", Checked: uint64(n), Broken: uint64(n)}}
			})
		}
		sends(150)
		s.start()
		pass(11 * time.Minute)
		s.want("a key sends what is wrong", "ringing Contract broken: shop / buy", "ringing Key refused: shop / web")
		s.stop()
		s.start()
		for minute := range 15 {
			sends(min(minute, 10) * 15)
			pass(time.Minute)
		}
		s.want("after a restart, it still does")
		sends(0)
		pass(6 * time.Minute)
		s.want("it stops", "ended Contract broken: shop / buy", "ended Key refused: shop / web")
		s.stop()
	})
}

// BenchmarkRound judges as many keys as can be counted, while as many alarms
// ring as can.
func BenchmarkRound(b *testing.B) {
	state, err := Open(filepath.Join(b.TempDir(), File), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	state.write = func(string, []byte, fs.FileMode) error { return nil }
	var keys []Key
	for i := range 10_000 {
		keys = append(keys, Key{"shop", "key" + strconv.Itoa(i), 1000, 1000})
	}
	w := New(Deps{
		Book: state, Counts: &recorded{}, Leads: func() bool { return true }, Log: slog.New(slog.DiscardHandler),
		Sample: func(now time.Time) (Sample, error) { return Sample{At: now, Keys: keys}, nil },
	}, Setup{Alarms: alarming.Alarms{Rules: []alarming.Rule{alarming.UsualOf(alarming.KeyRefused)}}})
	for now := time.Now(); b.Loop(); now = now.Add(pause) {
		w.look(now)
	}
}
