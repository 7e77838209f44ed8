package share

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// ledger is a ledger with one counter.
type ledger struct {
	mu       sync.Mutex
	left     uint32 // calls that can be lent
	borrowed uint32
	dry      bool
	asked    int
}

func (l *ledger) Lend(_ time.Time, a *Ask) uint32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	n := min((l.left+1)/2, a.Most)
	l.left -= n
	return n
}

func (l *ledger) Borrowed(_ time.Time, _ Counter, n uint32) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.borrowed += n
	return true
}

func (l *ledger) Dry(time.Time, Counter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dry = true
}

func (l *ledger) state() (left, borrowed uint32, dry bool, asked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.left, l.borrowed, l.dry, l.asked
}

// world is servers with pipes between them.
type world struct {
	groups  []*Group
	ledgers []*ledger

	mu      sync.Mutex
	members []Member
	hangs   map[string]bool // takes connections and does not answer
	gone    map[string]bool // takes no connections
	changes int
}

var errGone = errors.New("there is nobody")

// gate is the connection of a server that may hang: what comes is lost.
type gate struct {
	net.Conn

	w  *world
	id string
}

func (g gate) Read(b []byte) (int, error) {
	for {
		n, err := g.Conn.Read(b)
		g.w.mu.Lock()
		hangs := g.w.hangs[g.id]
		g.w.mu.Unlock()
		if !hangs || err != nil {
			return n, err
		}
	}
}

func newWorld(t *testing.T, n int) *world {
	t.Helper()
	w := &world{hangs: make(map[string]bool), gone: make(map[string]bool)}
	for i := range n {
		w.members = append(w.members, Member{ID: string(rune('a' + i)), Address: "there"})
	}
	for i := range n {
		w.ledgers = append(w.ledgers, &ledger{left: 100})
		w.groups = append(w.groups, New(Options{
			Self: w.members[i].ID, Ledger: w.ledgers[i], Members: w.known, Dial: w.dial,
			Changed: func() { w.mu.Lock(); defer w.mu.Unlock(); w.changes++ },
		}))
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, g := range w.groups {
		running.Go(func() { _ = g.Run(ctx) })
	}
	t.Cleanup(func() { stop(); running.Wait() })
	return w
}

func (w *world) known() []Member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.members
}

func (w *world) dial(_ context.Context, m Member) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone[m.ID] {
		return nil, errGone
	}
	here, there := net.Pipe()
	go w.groups[m.ID[0]-'a'].Serve(gate{there, w, m.ID})
	return here, nil
}

func (w *world) set(of map[string]bool, id string, is bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of[id] = is
}

// wait waits until the servers know each other.
func wait() { pass(10 * time.Millisecond) }

// pass lets time pass in the bubble.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // the time of a bubble
	synctest.Wait()
}

func ask() *Ask { return &Ask{Limit: 300, Left: 1000} }

func TestBorrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		wait()
		began := time.Now()
		for i, want := range []uint32{50, 25, 13} {
			_, before, _, _ := w.ledgers[0].state()
			last := w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0)
			if _, got, _, _ := w.ledgers[0].state(); last == 0 || got < before+want {
				t.Errorf("round %d: %d calls were lent, want at least %d, half of what one server has", i, got-before, want)
			}
			synctest.Wait()
		}
		if _, got, dry, _ := w.ledgers[0].state(); got != 2*(50+25+13) || dry {
			t.Errorf("%d calls were borrowed, dry: %v", got, dry)
		}
		for range 10 {
			w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0)
			synctest.Wait()
		}
		if _, got, dry, _ := w.ledgers[0].state(); got != 200 || !dry {
			t.Errorf("%d calls were borrowed, dry: %v; want all 200, and dry", got, dry)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("it has taken %v: something has waited for time to pass", took)
		}
	})
}

// A call that finds nothing left of what was lent waits for the other answers.
func TestBorrowMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		wait()
		w.set(w.hangs, "b", true)
		began := time.Now()
		last := w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0)
		if last == 0 || time.Since(began) != 0 {
			t.Errorf("the answer of one server is %d, after %v", last, time.Since(began))
		}
		if again := w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0); again != last || time.Since(began) != 0 {
			t.Errorf("another call gets %d, after %v", again, time.Since(began))
		}
		if more := w.groups[0].Borrow(Counter{Key: 1}, ask(), true, last); more != last || time.Since(began) != patience {
			t.Errorf("a call that needs more gets %d, after %v", more, time.Since(began))
		}
	})
}

// Calls that ask for the same counter at the same time share a round.
func TestBorrowTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		wait()
		w.set(w.hangs, "b", true)
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() { w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0) })
		}
		calls.Wait()
		if got := w.groups[0].stats.asks.Load(); got != 1 {
			t.Errorf("100 calls sent %d asks, want 1", got)
		}
	})
}

// A server that hangs delays calls by 50 ms, three times at most. It does not
// make a counter dry until it counts as gone. Then the others share its part,
// after a window.
func TestHanging(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		wait()
		w.set(w.hangs, "b", true)
		w.ledgers[2].left = 0
		began := time.Now()
		for i := range uint64(20) {
			w.groups[0].Borrow(Counter{Key: i}, ask(), true, 0)
		}
		if took := time.Since(began); took != strikes*patience {
			t.Errorf("20 calls have waited for %v, want three times 50 ms", took)
		}
		if _, _, dry, _ := w.ledgers[0].state(); dry {
			t.Error("a counter is dry, although a server that hangs may have calls left")
		}
		pass(silence + pause)
		w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0)
		if _, _, dry, _ := w.ledgers[0].state(); !dry {
			t.Error("a counter is not dry, although nobody is left who could lend")
		}
		if got := w.groups[0].Part(time.Minute); got != (Part{0, 3}) {
			t.Errorf("the part is %v before the hanging server's windows have ended", got)
		}
		pass(time.Minute)
		for i, want := range map[int]Part{0: {0, 2}, 2: {1, 2}} {
			if got := w.groups[i].Part(time.Minute); got != want {
				t.Errorf("server %d has the part %v, want %v", i, got, want)
			}
			if got := w.groups[i].Part(time.Hour); got.Of != 3 {
				t.Errorf("server %d has the part %v of a longer window", i, got)
			}
		}
		w.set(w.hangs, "b", false)
		pass(silence + 2*pause)
		if got := w.groups[0].Part(time.Minute); got != (Part{0, 3}) {
			t.Errorf("the part is %v after the server is back", got)
		}
		if n := w.groups[0].Borrow(Counter{Key: 1}, ask(), true, 0); n == 0 {
			t.Error("a server that is back lends nothing")
		}
	})
}

// A minority keeps to its own shares.
func TestMinority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.set(w.gone, "b", true)
		w.set(w.gone, "c", true)
		pass(time.Hour)
		if got := w.groups[0].Part(time.Second); got.Of != 3 {
			t.Errorf("a server that reaches none of the others has the part %v", got)
		}
	})
}

// A late answer still counts: the lender has counted the calls.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, conns := &ledger{}, make(chan net.Conn, 1)
		g := New(Options{
			Self: "a", Ledger: l, Members: func() []Member { return []Member{{ID: "a"}, {ID: "b"}} }, Changed: func() {},
			Dial: func(context.Context, Member) (net.Conn, error) {
				here, there := net.Pipe()
				conns <- there
				return here, nil
			},
		})
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = g.Run(ctx) })
		conn := <-conns
		exchange := func(after time.Duration, answer []byte) {
			if _, _, err := readFrame(conn, nil, askBytes); err != nil {
				t.Error(err)
			}
			time.Sleep(after) //nolint:forbidigo // the time of a bubble
			if _, err := conn.Write(answer); err != nil {
				t.Error(err)
			}
		}
		exchange(0, []byte{version, 0, 0})
		synctest.Wait()
		running.Go(func() { exchange(time.Second, []byte{version, 0, 1, 0, 0, 0, 9}) })
		if n := g.Borrow(Counter{}, ask(), true, 0); n != 0 {
			t.Errorf("got %d calls before there is an answer", n)
		}
		pass(time.Second)
		if _, got, dry, _ := l.state(); got != 9 || dry {
			t.Errorf("%d calls were borrowed, want 9; dry: %v", got, dry)
		}
		stop()
		running.Wait()
	})
}

// Servers that join and leave are known within a second.
func TestMembersChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		wait()
		w.mu.Lock()
		w.members = w.members[:2]
		w.mu.Unlock()
		pass(2 * pause)
		if w.groups[0].Size() != 2 || w.groups[1].Part(time.Second) != (Part{1, 2}) {
			t.Errorf("after a server has left, the others are %d, and the second has the part %v", w.groups[0].Size(), w.groups[1].Part(time.Second))
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.changes != 2 {
			t.Errorf("%d servers were told, want the two that are left", w.changes)
		}
	})
}

func TestParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members := make([]Seen, rapid.IntRange(1, 7).Draw(t, "servers"))
		up := 0
		for i := range members {
			members[i].ID = string(rune('a' + i))
			if rapid.Bool().Draw(t, "gone") {
				members[i].Silent = time.Minute
			} else {
				up++
			}
		}
		ranks := make(map[int]bool)
		for _, m := range members {
			if m.Silent > 0 {
				continue
			}
			part, want := NewView(m.ID, members).Part(time.Second), len(members)
			if 2*up > len(members) {
				want = up
			}
			if part.Of != want || part.Rank >= part.Of || ranks[part.Rank] {
				t.Fatalf("of %v, %s has the part %v, want one of %d that no other has", members, m.ID, part, want)
			}
			ranks[part.Rank] = true
		}
	})
}

func TestWire(t *testing.T) {
	t.Parallel()
	a := Ask{Policy: 1 << 63, Range: true, Hi: 2, Lo: 3, Sub: 4, Limit: 5, Most: 6, Left: 7}
	b := a.append(nil)
	if got, err := parseAsk(b); err != nil || got != a || len(b) != askBytes {
		t.Errorf("got %+v, %v from %d bytes, want %+v from %d", got, err, len(b), a, askBytes)
	}
}

// Whatever another server sends, an answer is bounded by what it asks for.
func FuzzServe(f *testing.F) {
	one := ask().append(appendHeader(nil, 1))
	f.Add(one)
	f.Add([]byte{version, 0, 0})
	f.Add([]byte{version, 255, 255})
	f.Add([]byte{version + 1, 0, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		g := New(Options{Self: "a", Ledger: &ledger{left: 10}, Members: func() []Member { return nil }})
		var out bytes.Buffer
		g.Serve(&script{in: bytes.NewReader(in), out: &out})
		if out.Len() > len(in) {
			t.Errorf("%d bytes are answered by %d", len(in), out.Len())
		}
	})
}

// script is a connection with what the other end has sent.
type script struct {
	net.Conn

	in  io.Reader
	out io.Writer
}

func (s *script) Read(b []byte) (int, error)  { return s.in.Read(b) }
func (s *script) Write(b []byte) (int, error) { return s.out.Write(b) }
func (*script) SetDeadline(time.Time) error   { return nil }
