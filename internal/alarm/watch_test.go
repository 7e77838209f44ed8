package alarm

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config/alarming"
	"trackway/internal/query"
)

// recorded is a store that has only counts.
type recorded struct {
	mu     sync.Mutex
	counts map[string]map[query.Hour]uint64 // by type
	err    error
}

func (r *recorded) add(typ string, at time.Time, events uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[string]map[query.Hour]uint64)
	}
	if r.counts[typ] == nil {
		r.counts[typ] = make(map[query.Hour]uint64)
	}
	r.counts[typ][hourOf(at)] += events
}

// fail makes reading fail, or not any more.
func (r *recorded) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *recorded) Snapshot() query.Snapshot { return snapshot{nil, r} }

type snapshot struct {
	query.Snapshot

	of *recorded
}

func (s snapshot) Counts(_ uint32, r query.CountRange, yield func(query.Count) bool) error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	for typ, hours := range s.of.counts {
		for h, n := range hours {
			if h >= r.Since && h < r.Until && !yield(query.Count{Type: typ, Hour: h, Events: n}) {
				return nil
			}
		}
	}
	return s.of.err
}

func (s snapshot) Close() error { return nil }

// stage is a watch with what it watches, in a bubble of synctest.
type stage struct {
	*Watch

	t      *testing.T
	dir    string
	counts *recorded

	mu      sync.Mutex // guards what follows
	sample  Sample
	leads   bool
	leadsOf uint32

	rules []alarming.Rule
	stop  func()
}

// set changes what the watch sees.
func (s *stage) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func newStage(t *testing.T, rules ...alarming.Rule) *stage {
	t.Helper()
	return &stage{t: t, dir: t.TempDir(), counts: &recorded{}, leads: true, rules: rules}
}

// start starts the watch, as a server does that was started.
func (s *stage) start() {
	s.t.Helper()
	book, err := Open(filepath.Join(s.dir, File), slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	var saved []byte // written when the watch stops, because virtual weeks are saved every minute
	book.write = func(path string, data []byte, _ fs.FileMode) error {
		_, err := os.Stat(filepath.Dir(path))
		saved = data
		return err
	}
	s.Watch = New(Deps{
		Book: book, Counts: s.counts, Leads: func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.leads }, Log: slog.New(slog.DiscardHandler),
		LeadsOf: func(project uint32) bool { s.mu.Lock(); defer s.mu.Unlock(); return project == s.leadsOf },
		Sample: func(now time.Time) (Sample, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			sample := s.sample
			sample.At = now
			return sample, nil
		},
	}, s.setupOf(s.rules))
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	s.stop = func() {
		cancel()
		<-done
		if err := os.WriteFile(filepath.Join(s.dir, File), saved, 0o600); err != nil {
			s.t.Error(err)
		}
	}
}

func (s *stage) setupOf(rules []alarming.Rule) Setup {
	return Setup{
		Alarms:   alarming.Alarms{Rules: rules, Receivers: []alarming.Receiver{{Name: "ops"}}},
		Projects: []trackway.Project{{Name: "shop", Number: 1}},
	}
}

// told returns what the receiver is to be told, and takes it away.
func (s *stage) told() []string {
	s.t.Helper()
	synctest.Wait()
	notices, _, _ := s.Book.Pending("ops")
	s.Book.Told("ops", notices, 0)
	var all []string
	for _, n := range notices {
		all = append(all, string(n.State)+" "+Headline(n.Kind, n.Subject))
	}
	return all
}

func (s *stage) want(what string, want ...string) {
	s.t.Helper()
	if diff := cmp.Diff(want, s.told()); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// weeks records the same number of events in each hour of some weeks until now.
func (s *stage) weeks(n int, types ...string) {
	for at := time.Now().Truncate(time.Hour).AddDate(0, 0, -7*n); at.Before(time.Now()); at = at.Add(time.Hour) {
		for _, typ := range types {
			s.counts.add(typ, at, 100)
		}
	}
}

// traffic records events for some hours, each as it begins.
func (s *stage) traffic(hours int, types ...string) {
	for range hours {
		for _, typ := range types {
			s.counts.add(typ, time.Now(), 100)
		}
		pass(time.Hour)
	}
}

var silences = []alarming.Rule{
	usualSilence,
	{Kind: alarming.Silence, Type: alarming.Every, Percent: 10, Least: 20, Weeks: 4},
}

func TestSilenceRingsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, silences...)
		s.weeks(6, "view", "buy")
		s.start()
		s.traffic(3, "view", "buy")
		s.want("as usual")
		s.traffic(1, "view")
		pass(time.Minute)
		s.want("the hour is hardly over")
		pass(2 * time.Minute)
		s.want("nobody buys", "ringing Silence: shop / buy")
		s.counts.add("view", time.Now(), 100)
		pass(time.Hour - 3*time.Minute)
		s.traffic(5, "view")
		s.want("still nobody buys")
		s.stop() // and a restart changes nothing
		s.start()
		pass(time.Minute)
		s.want("after a restart")
		s.counts.add("buy", time.Now(), 9)
		pass(time.Minute)
		s.want("too few to be sure")
		s.counts.add("buy", time.Now(), 1)
		pass(time.Minute)
		s.want("they buy again, and it ends at once", "ended Silence: shop / buy")
		pass(time.Hour)
		s.traffic(20, "view", "buy")
		s.stop()
	})
}

// If a whole project is silent, that is one alarm, and not one for each type.
func TestSilenceOfAProject(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, silences...)
		s.weeks(6, "view", "buy", "search", trackway.MergeType)
		s.start()
		s.traffic(2, "view", "buy", "search")
		pass(3 * time.Hour)
		s.want("nothing comes", "ringing Silence: shop")
		s.traffic(2, "view", "search")
		s.want("all but one type come again", "ended Silence: shop", "ringing Silence: shop / buy")
		s.Reload(s.setupOf(silences[:1]))
		pass(time.Minute)
		s.want("types are not watched any more", "ended Silence: shop / buy")
		s.stop()
	})
}

// Silence that lasts becomes the usual, and the alarm ends.
func TestSilenceForEver(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes two weeks, which are a few seconds")
	}
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.Rule{Kind: alarming.Silence, Type: alarming.Every, Percent: 10, Least: 20, Weeks: 1})
		s.weeks(2, "view", "gone")
		s.start()
		s.traffic(5, "view")
		s.want("a type was removed", "ringing Silence: shop / gone")
		s.traffic(2*hoursAWeek+2, "view")
		s.want("for weeks", "ended Silence: shop / gone")
		s.stop()
	})
}

// A server does not ring for the time in which it was down, but says when that
// was.
func TestServerWasDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, append(slices.Clone(silences), alarming.UsualOf(alarming.WasDown))...)
		s.weeks(6, "view")
		s.start()
		s.traffic(2, "view")
		pass(30 * time.Minute)
		s.stop()
		pass(5 * time.Hour)
		s.start()
		pass(time.Minute)
		s.want("it was down", "ended Was down")
		pass(29*time.Minute + time.Hour/2)
		s.traffic(3, "view")
		s.want("and does not ring for that")
		s.stop()
		pass(time.Minute)
		s.start()
		pass(time.Minute)
		s.want("a restart is no gap")
		if gaps := s.Report(time.Now(), nobody).Gaps; len(gaps) != 1 || gaps[0].To.Sub(gaps[0].From).Round(time.Minute) != 5*time.Hour {
			t.Errorf("got %+v, want one gap of five hours", gaps)
		}
		s.stop()
	})
}

func nobody(string) (success, failure time.Time, err string) { return success, failure, "" }

// A server that starts with an old state begins where it ended: what is fine
// ends, and what is not does not ring again.
func TestOldState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.DiskFull), alarming.UsualOf(alarming.StoreDamaged))
		s.set(func() { s.sample = Sample{DiskFull: true, Damaged: 1} })
		s.start()
		s.want("two things are wrong", "ringing Disk full", "ringing Store damaged")
		s.stop()
		pass(60 * 24 * time.Hour)
		s.set(func() { s.sample.Damaged = 0 })
		s.start()
		pass(time.Minute)
		s.want("one is fine", "ended Store damaged")
		s.stop()
	})
}

// Most alarms wait before they ring, and then before they end.
func TestWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.DestinationLags), alarming.UsualOf(alarming.DestinationStopped))
		lag := func(d time.Duration) { s.set(func() { s.sample.Destinations = []Destination{{Name: "out", Lag: d}} }) }
		lag(20 * time.Minute)
		s.start()
		pass(9 * time.Minute)
		s.want("not long enough")
		if r := s.Report(time.Now(), nobody); len(r.Waiting) != 1 || len(r.Ringing) != 0 {
			t.Errorf("got %+v, want that one waits", r)
		}
		pass(90 * time.Second)
		s.want("it lags", "ringing Destination lags: out")
		for range 20 { // it moves around the threshold
			lag(10 * time.Minute)
			pass(time.Minute)
			lag(16 * time.Minute)
			pass(time.Minute)
		}
		s.want("it rings once")
		lag(0)
		pass(4 * time.Minute)
		s.want("it may come back")
		pass(90 * time.Second)
		s.want("it is over", "ended Destination lags: out")
		lag(time.Hour)
		pass(time.Minute)
		lag(0)
		pass(time.Minute)
		s.want("a short lag")
		if r := s.Report(time.Now(), nobody); len(r.Waiting) != 0 || len(r.Past) != 1 {
			t.Errorf("got %+v", r)
		}
		lag(time.Hour)
		pass(11 * time.Minute)
		s.set(func() { s.sample.Destinations = nil })
		pass(time.Minute)
		s.want("it is removed while it lags", "ringing Destination lags: out", "ended Destination lags: out")
		s.set(func() { s.sample.Destinations = []Destination{{Name: "out", Lag: time.Hour, Paused: true}} })
		pass(time.Hour)
		s.want("a paused one may lag")
		s.stop()
	})
}

// In a cluster, each server knows which data is missing, and the leader alone
// tells it. A new leader does not tell it again.
func TestLeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, append(slices.Clone(silences), alarming.UsualOf(alarming.DiskFull))...)
		s.set(func() { s.leads = false })
		s.weeks(6, "view")
		s.start()
		s.traffic(1, "view")
		pass(2 * time.Hour)
		s.set(func() { s.sample.DiskFull = true })
		pass(time.Minute)
		s.want("a follower tells what is its own", "ringing Disk full")
		s.set(func() { s.leads = true })
		pass(time.Hour)
		s.want("it leads now")
		s.traffic(1, "view")
		s.want("the new leader tells the end", "ended Silence: shop")
		s.stop()
	})
}

// Counts that cannot be read neither ring nor end anything.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, silences...)
		s.weeks(6, "view")
		s.counts.fail(errors.New("damaged"))
		s.start()
		pass(3 * time.Hour)
		s.want("the counts cannot be read")
		s.counts.fail(nil)
		pass(3 * time.Minute)
		s.want("now they can", "ringing Silence: shop")
		s.stop()
	})
}

// If the state cannot be saved, because the disk is full, the alarm about that
// goes out all the same. A damaged state is put aside.
func TestStateFile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, alarming.UsualOf(alarming.DiskFull))
		s.start()
		pass(time.Minute)
		if err := os.RemoveAll(s.dir); err != nil {
			t.Fatal(err)
		}
		s.set(func() { s.sample.DiskFull = true })
		pass(time.Minute)
		s.want("nothing can be saved", "ringing Disk full")
		if err := os.Mkdir(s.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		s.stop()
		s.start()
		s.want("it was saved when that was possible")
		s.stop()
		path := filepath.Join(s.dir, File)
		text, err := os.ReadFile(path)
		if err != nil || !json.Valid(text) {
			t.Fatalf("got %s, %v", text, err)
		}
		text[len(text)/2] ^= 1
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.want("nothing is known any more", "ringing Disk full")
		s.stop()
		if _, err := os.Stat(path + ".damaged"); err != nil {
			t.Error(err)
		}
	})
}

// A receiver that is never told anything costs a bounded memory.
func TestBounds(t *testing.T) {
	t.Parallel()
	b, err := Open(filepath.Join(t.TempDir(), File), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range mostNotices + 7 {
		b.change(func(s *state) bool {
			b.postLocked(&Notice{ID: strconv.Itoa(i)}, []string{"ops", "other"})
			s.bury(&Alarm{Kind: "x"})
			s.noteGap(Gap{From: time.Unix(int64(i), 0), To: time.Unix(int64(i)+1, 0)})
			return i == mostNotices+6
		})
	}
	notices, leftOut, _ := b.Pending("ops")
	if len(notices) != mostNotices || leftOut != 7 || notices[0].ID != "7" {
		t.Errorf("got %d notices from %s, and %d left out", len(notices), notices[0].ID, leftOut)
	}
	if len(b.state.Past) != mostPast || len(b.state.Gaps) > mostGaps {
		t.Errorf("got %d past alarms and %d gaps", len(b.state.Past), len(b.state.Gaps))
	}
	b.Told("ops", notices, leftOut)
	b.Keep([]string{"ops"})
	if len(b.state.Outbox) != 0 {
		t.Errorf("got %v", b.state.Outbox)
	}
}

// Names that clients choose are short and on one line in messages.
func TestShown(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"buy": "buy", "größe": "größe", "a\r\nBcc: x@y.z": `"a\r\nBcc: x@y.z"`, `a"b`: `"a\"b"`, "\x1b[2J": `"\x1b[2J"`, "a\xffb": "a\ufffdb",
		strings.Repeat("x", 200): strings.Repeat("x", 80) + "…",
	} {
		if got := shown(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// pass lets time pass, in a bubble of synctest.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Two long types that begin alike are two things.
func TestLongTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, silences...)
		one, two := strings.Repeat("x", 90)+"1", strings.Repeat("x", 90)+"2"
		s.weeks(6, "view", one, two)
		s.start()
		s.traffic(1, "view", one, two)
		s.traffic(3, "view", two)
		s.want("one of them is silent", "ringing Silence: shop / "+strings.Repeat("x", 80)+"…")
		s.traffic(2, "view")
		s.want("and the other", "ringing Silence: shop / "+strings.Repeat("x", 80)+"…")
		s.stop()
	})
}

// A client that sends many types, and then none of them, hides nothing else.
func TestManyTypes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, silences[0], alarming.Rule{Kind: alarming.Silence, Type: "zebra", Percent: 10, Least: 20, Weeks: 4}, silences[1], alarming.UsualOf(alarming.DiskFull))
		types := []string{"view", "zebra"}
		for i := range 1000 {
			types = append(types, "a"+strconv.Itoa(i))
		}
		for at := time.Now().Truncate(time.Hour).AddDate(0, 0, -21); at.Before(time.Now()); at = at.AddDate(0, 0, 7) {
			for hour := range 3 {
				for _, typ := range types {
					s.counts.add(typ, at.Add(time.Duration(hour-1)*time.Hour), 100)
				}
			}
			s.counts.add("view", at, 1_000_000)
		}
		for _, typ := range types {
			s.counts.add(typ, time.Now().AddDate(0, 0, -28), 100)
		}
		s.start()
		s.traffic(1, "view")
		s.counts.add("view", time.Now().Add(-time.Hour), 2_000_000)
		pass(3 * time.Minute)
		s.set(func() { s.sample.DiskFull = true })
		pass(time.Minute)
		r := s.Report(time.Now(), nobody)
		var kinds []string
		for _, row := range r.Ringing {
			if !strings.HasPrefix(row.Subject, "shop / a") {
				kinds = append(kinds, row.Headline)
			}
		}
		if slices.Sort(kinds); !slices.Equal(kinds, []string{"Disk full", "Silence: shop / zebra"}) || len(r.Ringing) != mostOfProject+2 {
			t.Errorf("%d ring, of which %q", len(r.Ringing), kinds)
		}
		s.stop()
	})
}

// A full outbox keeps what strangers cannot cause.
func TestOutboxKeeps(t *testing.T) {
	t.Parallel()
	b, err := Open(filepath.Join(t.TempDir(), File), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	b.change(func(*state) bool {
		b.postLocked(&Notice{ID: "disk", Kind: alarming.DiskFull}, []string{"ops"})
		for i := range mostNotices + 7 {
			b.postLocked(&Notice{ID: strconv.Itoa(i), Kind: alarming.Silence}, []string{"ops"})
		}
		return false
	})
	if notices, leftOut, _ := b.Pending("ops"); len(notices) != mostNotices || leftOut != 8 || notices[0].ID != "disk" || notices[1].ID != "8" {
		t.Errorf("got %d notices, beginning with %s and %s, and %d left out", len(notices), notices[0].ID, notices[1].ID, leftOut)
	}
}

// A clock that was ahead, and is right again, stops nothing.
func TestClockWasAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, append(slices.Clone(silences), alarming.UsualOf(alarming.DiskFull))...)
		s.weeks(6, "view")
		s.start()
		s.traffic(1, "view")
		s.stop()
		ahead := time.Now().AddDate(1, 0, 0).Add(10 * time.Minute)
		s.set(func() { s.sample.DiskFull = true })
		s.look(ahead)
		s.set(func() { s.sample.DiskFull = false })
		s.look(time.Now())
		s.want("the disk was full for a moment", "ringing Disk full", "ended Disk full")
		for range 4 * 60 {
			pass(time.Minute)
			s.look(time.Now())
		}
		s.want("nothing comes", "ringing Silence: shop")
	})
}
