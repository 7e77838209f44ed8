package live

import (
	"context"
	"errors"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/change"
)

// fakeLog is a log whose end becomes durable when the test says so. It counts
// the calls.
type fakeLog struct {
	mu       sync.Mutex
	events   []trackway.Event // in the order in which they were written
	synced   uint64
	changed  chan struct{}
	merged   map[trackway.Customer]trackway.Customer
	ids      map[trackway.Customer][]trackway.Identifier
	asked    int // calls of Follow, Changes and Back
	whoAsked int
	broken   error
	reading  func() // called when events have been read, but not distributed yet
	telling  func() // called when a customer has been looked up, but not returned yet
}

func newFakeLog() *fakeLog {
	return &fakeLog{
		changed: make(chan struct{}), merged: map[trackway.Customer]trackway.Customer{},
		ids: map[trackway.Customer][]trackway.Identifier{},
	}
}

func (l *fakeLog) write(typ string, project uint32, c trackway.Customer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, trackway.Event{
		Seq: uint64(len(l.events) + 1), Project: project, Customer: c, Type: typ, Received: trackway.Micros(len(l.events)), Properties: []byte("{}"),
	})
}

// sync makes durable what was written before.
func (l *fakeLog) sync() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = uint64(len(l.events))
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *fakeLog) add(types ...string) {
	for _, typ := range types {
		l.write(typ, 1, 1)
	}
	l.sync()
}

func (l *fakeLog) Synced() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced
}

func (l *fakeLog) Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		for {
			l.mu.Lock()
			l.asked++
			synced, changed := l.synced, l.changed
			l.mu.Unlock()
			for some, err := range l.Changes(after, synced) {
				if !yield(some, err) || err != nil {
					return
				}
			}
			after = max(after, synced)
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}
}

// Changes returns two at a time.
func (l *fakeLog) Changes(after, through uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		l.mu.Lock()
		l.asked++
		var events []trackway.Event
		if through = min(through, l.synced); after < through {
			events = slices.Clone(l.events[after:through])
		}
		l.mu.Unlock()
		if l.reading != nil {
			l.reading()
		}
		if l.broken != nil {
			yield(nil, l.broken)
			return
		}
		for some := range slices.Chunk(events, 2) {
			var changes []change.Change
			for i := range some {
				if some[i].Seq != 0 {
					changes = append(changes, change.Change{Number: some[i].Seq, Event: &some[i]}, change.Change{Number: some[i].Seq, Kind: change.Changed})
				}
			}
			if len(changes) > 0 && !yield(changes, nil) {
				return
			}
		}
	}
}

func (l *fakeLog) Back(through uint64, do func(*trackway.Event) bool) error {
	l.mu.Lock()
	l.asked++
	events := slices.Clone(l.events[:min(through, l.synced)])
	l.mu.Unlock()
	if l.reading != nil {
		l.reading()
	}
	for _, e := range slices.Backward(events) {
		if e.Seq != 0 && !do(&e) {
			break
		}
	}
	return l.broken
}

func (l *fakeLog) Current(_ uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whoAsked++
	for l.merged[c] != 0 {
		c = l.merged[c]
	}
	ids := slices.Clone(l.ids[c])
	if l.telling != nil {
		l.telling()
	}
	return c, ids, nil
}

// bubble is what a test has in a synctest bubble.
type bubble struct {
	*testing.T

	h *Hub
	l *fakeLog
}

// run runs a hub in a bubble.
func run(t *testing.T, test func(bubble)) {
	t.Helper()
	runOver(t, 1, func(b bubble, _ []*fakeLog) { test(b) })
}

// runOver runs a hub of several logs in a bubble.
func runOver(t *testing.T, n int, test func(bubble, []*fakeLog)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		logs, all := make([]*fakeLog, n), make([]Log, n)
		for i := range logs {
			logs[i] = newFakeLog()
			all[i] = logs[i]
		}
		h := New(func(err error) { t.Log(err) }, all...)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := h.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		test(bubble{t, h, logs[0]}, logs)
		stop()
		<-done
	})
}

func mustWatch(t *testing.T, h *Hub, f Filter, after *Mark) *Watcher {
	t.Helper()
	w, err := h.Watch(f, after)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// settle lets the hub finish everything that it has to do now.
func settle() {
	<-time.After(time.Millisecond)
	synctest.Wait()
}

// types takes everything that a watcher has. It returns the types of the events
// and the reasons of the refused commands.
func types(t *testing.T, w *Watcher) (got []string, dropped uint64) {
	t.Helper()
	for {
		select {
		case <-w.Ready():
		default:
			return got, dropped
		}
		items, n, err := w.Take(7)
		if err != nil {
			t.Fatal(err)
		}
		dropped += n
		for _, it := range items {
			if it.Event != nil {
				got = append(got, it.Event.Type)
			} else {
				got = append(got, "!"+it.Rejection.Reason)
			}
		}
	}
}

func wantTypes(t *testing.T, w *Watcher, want string) {
	t.Helper()
	settle()
	got, dropped := types(t, w)
	if strings.Join(got, " ") != want || dropped != 0 {
		t.Errorf("got %q and %d dropped, want %q", strings.Join(got, " "), dropped, want)
	}
}

func TestNothingBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		w := mustWatch(t, h, Filter{Events: true}, nil)
		defer w.Close()
		l.write("a", 1, 1)
		wantTypes(t, w, "")
		l.sync()
		wantTypes(t, w, "a")
		l.add("b", "c")
		wantTypes(t, w, "b c")
	})
}

func TestNobodyWatches(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		l.add("a", "b")
		settle()
		if l.asked != 0 {
			t.Errorf("nobody watches, and the log was asked %d times", l.asked)
		}
		w := mustWatch(t, h, Filter{Events: true}, nil)
		wantTypes(t, w, "a b")
		w.Close()
		l.add("c") // the hub wakes up once, and sees that there are no watchers
		settle()
		asked := l.asked
		l.add("d", "e")
		settle()
		if l.asked != asked {
			t.Error("everybody has gone, and the log is still read")
		}
		again := mustWatch(t, h, Filter{Events: true}, &Mark{Seqs: []uint64{3}})
		defer again.Close()
		l.add("f")
		wantTypes(t, again, "d e f")

		only := mustWatch(t, h, Filter{Rejected: true}, nil)
		defer only.Close()
		wantTypes(t, only, "")
	})
}

// TestSlowWatcher: a watcher that takes nothing loses the oldest events, and
// the loss is counted. Another watcher loses nothing.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		slow := mustWatch(t, h, Filter{Events: true}, nil)
		defer slow.Close()
		quick := mustWatch(t, h, Filter{Events: true}, nil)
		defer quick.Close()
		const rounds, each = 5, 400
		seen := 0
		for range rounds {
			for range each {
				l.write("e", 1, 1)
			}
			l.sync()
			settle()
			got, dropped := types(t, quick)
			seen += len(got)
			if dropped != 0 {
				t.Fatalf("the quick watcher lost %d", dropped)
			}
		}
		got, dropped := types(t, slow)
		if seen != rounds*each || len(got) != mostQueued || dropped != rounds*each-mostQueued {
			t.Errorf("the quick one saw %d; the slow one %d and lost %d of %d", seen, len(got), dropped, rounds*each)
		}
		l.add("last")
		wantTypes(t, slow, "last")
	})
}

// TestLargeEvents: the queue of a watcher is limited in bytes too.
func TestLargeEvents(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		w := mustWatch(t, h, Filter{Events: true}, nil)
		defer w.Close()
		const n, size = 40, 500_000
		for range n {
			l.write("large", 1, 1)
			l.events[len(l.events)-1].Properties = make([]byte, size)
		}
		l.sync()
		settle()
		if w.bytes > mostBytes {
			t.Errorf("%d bytes wait", w.bytes)
		}
		got, dropped := types(t, w)
		if len(got) != mostBytes/size || dropped != uint64(n-len(got)) {
			t.Errorf("got %d, %d dropped", len(got), dropped)
		}
		if w.bytes != 0 {
			t.Errorf("nothing waits, but %d bytes do", w.bytes)
		}
	})
}

func TestFilters(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		l.merged[11] = 10
		l.write("merged", 1, 11)
		l.write("old", 1, 12)
		watch := func(f Filter) *Watcher {
			f.Events = true
			return mustWatch(t, h, f, nil)
		}
		l.sync()
		all := map[*Watcher]string{
			watch(Filter{}):                         "merged old view buy view new later",
			watch(Filter{Project: 2}):               "view",
			watch(Filter{Types: []string{"buy"}}):   "buy",
			watch(Filter{Project: 1, Customer: 10}): "merged view later",
			watch(Filter{Project: 1, Customer: 11}): "merged view later",
			watch(Filter{Project: 1, Customer: 12}): "old new later",
		}
		l.write("view", 1, 10)
		l.write("buy", 1, 13)
		l.write("view", 2, 20)
		l.write("new", 1, 12)
		l.sync()
		settle()
		got := map[*Watcher][]string{}
		for w := range all {
			got[w], _ = types(t, w)
		}
		l.merged[12] = 10
		l.write(trackway.MergeType, 1, 10)
		l.write("later", 1, 10)
		l.sync()
		settle()
		for w, want := range all {
			more, _ := types(t, w)
			text := strings.ReplaceAll(strings.Join(append(got[w], more...), " "), "merge ", "")
			if text != want {
				t.Errorf("%+v: got %q, want %q", w.filter, text, want)
			}
			w.Close()
		}
	})
}

// TestResolvesOnce: the hub does not look up the customer again for each event.
func TestResolvesOnce(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		w := mustWatch(t, h, Filter{Events: true, Project: 1, Customer: 5}, nil)
		defer w.Close()
		for range 300 {
			l.write("e", 1, 6)
		}
		l.sync()
		wantTypes(t, w, "")
		if l.whoAsked > 3 {
			t.Errorf("asked %d times", l.whoAsked)
		}
	})
}

func TestRejected(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		jane := []trackway.Identifier{{Name: "registered", Value: "jane"}}
		l.ids[7] = append([]trackway.Identifier{{Name: "cookie", Value: "c"}}, jane...)
		reject := func(project uint32, reason, typ string, ids ...trackway.Identifier) {
			h.Reject(&Rejection{
				Project: project, Received: 5, Reason: reason, Type: typ, IDs: ids, Address: netip.MustParseAddr("203.0.113.7"),
			})
		}
		reject(1, "before", "view", jane...)
		watch := func(f Filter) *Watcher {
			f.Rejected = true
			return mustWatch(t, h, f, nil)
		}
		all := map[*Watcher]string{
			watch(Filter{}):                        "!before !a !b !c",
			watch(Filter{Project: 1}):              "!before !a !c",
			watch(Filter{Types: []string{"buy"}}):  "!b !c",
			watch(Filter{Project: 1, Customer: 7}): "!before !a",
		}
		without := mustWatch(t, h, Filter{Events: true}, nil)
		defer without.Close()
		reject(1, "a", "view", jane...)
		reject(2, "b", "buy")
		reject(1, "c", "buy", trackway.Identifier{Name: "registered", Value: "joe"})
		for w, want := range all {
			wantTypes(t, w, want)
			w.Close()
		}
		wantTypes(t, without, "")
		last := h.rejected[1].Number
		back := mustWatch(t, h, Filter{Rejected: true}, &Mark{Rejection: last})
		wantTypes(t, back, "!b !c")
		back.Close()

		waiting := mustWatch(t, h, Filter{Rejected: true}, nil) // with three earlier items to show
		reject(1, "d", "view", jane...)
		reject(2, "e", "view", jane...)
		h.Forget(1, jane, time.Now())
		wantTypes(t, waiting, "!b !c !e")
		if waiting.bytes != 0 {
			t.Errorf("an empty queue counts %d bytes", waiting.bytes)
		}
		waiting.Close()
		after := mustWatch(t, h, Filter{Rejected: true}, nil)
		wantTypes(t, after, "!b !c !e")
		after.Close()
	})
}

// TestRejectedIsBounded: only a part of a flood of refused commands is noted,
// and texts are cut.
func TestRejectedIsBounded(t *testing.T) {
	t.Parallel()
	h := New(nil, newFakeLog())
	noted := 0
	now := time.Unix(1_700_000_000, 0)
	for i := range 10 * mostKept {
		if h.Room(now.Add(time.Duration(i) * time.Millisecond / 4)) { // 4000 a second
			noted++
		}
	}
	if want := 3 * mostASecond; noted != want {
		t.Errorf("%d were noted in two and a half seconds, want %d", noted, want)
	}
	long := strings.Repeat("ü", 1000)
	for range mostKept + 10 {
		h.Reject(&Rejection{Reason: long, IDs: make([]trackway.Identifier, 100)})
	}
	r := h.rejected[len(h.rejected)-1]
	if len(h.rejected) != mostKept || len(r.IDs) != mostIDs || r.Reason != long[:longest]+"…" {
		t.Errorf("%d are kept, with %d ids and %d bytes of a reason", len(h.rejected), len(r.IDs), len(r.Reason))
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newFakeLog()
		h := New(nil, l)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- h.Run(ctx) }()
		w := mustWatch(t, h, Filter{Events: true}, nil)
		synctest.Wait()
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		<-w.Ready()
		if _, _, err := w.Take(1); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v, want ErrEnded", err)
		}
		w.Close()
		if _, err := h.Watch(Filter{}, nil); !errors.Is(err, ErrEnded) {
			t.Errorf("after the end: got %v, want ErrEnded", err)
		}
	})
}

// TestBrokenLog: if the log cannot be read, the watchers end with the error.
// Later watchers are served again.
func TestBrokenLog(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		w := mustWatch(t, h, Filter{Events: true}, nil)
		l.broken = errors.New("bad sector")
		l.add("a")
		settle()
		<-w.Ready()
		if _, _, err := w.Take(1); !errors.Is(err, ErrEnded) {
			t.Errorf("got %v, want ErrEnded", err)
		}
		w.Close()
		if _, err := h.Watch(Filter{Events: true}, nil); !errors.Is(err, l.broken) {
			t.Errorf("got %v, want the log's error", err)
		}
		l.broken = nil
		again := mustWatch(t, h, Filter{Events: true}, nil)
		defer again.Close()
		l.add("b")
		wantTypes(t, again, "a b")
	})
}

// TestJoining: a watcher that joins during many writes misses nothing and sees
// nothing twice.
func TestJoining(t *testing.T) {
	t.Parallel()
	run(t, func(b bubble) {
		t, h, l := b.T, b.h, b.l
		keep := mustWatch(t, h, Filter{Events: true}, nil)
		defer keep.Close()
		for range 200 {
			l.add("before", "before")
			first := l.Synced() - 1
			go l.add("meanwhile")
			w := mustWatch(t, h, Filter{Events: true}, &Mark{Seqs: []uint64{first - 1}})
			l.add("after")
			settle()
			var got, want []uint64
			for len(w.Ready()) > 0 {
				<-w.Ready()
				items, _, err := w.Take(3)
				if err != nil {
					t.Fatal(err)
				}
				for _, it := range items {
					got = append(got, it.Event.Seq)
				}
			}
			for seq := first; seq <= l.Synced(); seq++ {
				want = append(want, seq)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal("(-want +got)\n" + diff)
			}
			w.Close()
		}
	})
}
