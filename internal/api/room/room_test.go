package room

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// reader is a request that is read.
type reader struct {
	Holding

	cut bool
}

func (r *reader) CutOff() { r.cut = true }

func open(m *Room, addr string) *reader {
	r := &reader{}
	r.Open(m, netip.MustParseAddr(addr), time.Now(), r)
	return r
}

func (r *reader) mustTake(t *testing.T, n int) *reader {
	t.Helper()
	if err := r.Take(n); err != nil {
		t.Fatal(err)
	}
	return r
}

type held struct {
	addr string
	n    int
}

// settled has an address hold n that nobody can take away.
func settled(m *Room, addr string, n int) error { return open(m, addr).Settle(n) }

// An address may have half, an IPv6 /64 is one address, a /48 may have three
// quarters, and the last eighth is for callers that hold little.
func TestShares(t *testing.T) {
	t.Parallel()
	const size = 4096
	for name, c := range map[string]struct {
		held  []held
		addr  string
		n     int
		wants bool
	}{
		"all of a share":       {nil, "192.0.2.1", size / 2, true},
		"more":                 {nil, "192.0.2.1", size/2 + 1, false},
		"more, together":       {[]held{{"192.0.2.1", 48}}, "192.0.2.1", size/2 - 47, false},
		"another's":            {[]held{{"192.0.2.1", size / 2}}, "192.0.2.2", size / 4, true},
		"mapped":               {[]held{{"192.0.2.1", size / 2}}, "::ffff:192.0.2.1", 1, false},
		"the same /64":         {[]held{{"2001:db8::1", size / 2}}, "2001:db8::ffff:2", 1, false},
		"the same /48":         {[]held{{"2001:db8::1", size / 2}}, "2001:db8:0:1::1", size / 4, true},
		"too much for a /48":   {[]held{{"2001:db8::1", size / 2}}, "2001:db8:0:1::1", size/4 + 1, false},
		"a little beyond that": {[]held{{"2001:db8::1", size / 2}, {"2001:db8:0:2::", size / 4}}, "2001:db8:0:1::1", 1, false},
		"another /48":          {[]held{{"2001:db8::1", size / 2}, {"2001:db8:0:2::", size / 4}}, "2001:db8:1::1", size / 8, true},
		"what is kept":         {[]held{{"192.0.2.1", size / 2}, {"192.0.2.2", 3 * size / 8}}, "192.0.2.3", 17, false},
		"a little of it":       {[]held{{"192.0.2.1", size / 2}, {"192.0.2.2", 3 * size / 8}}, "192.0.2.3", 16, true},
		"and not more":         {[]held{{"192.0.2.1", size / 2}, {"192.0.2.2", 3 * size / 8}, {"192.0.2.3", 16}}, "192.0.2.3", 1, false},
		"not by many of a /48": {[]held{{"192.0.2.1", size / 2}, {"192.0.2.2", 3 * size / 8}, {"2001:db8::1", 16}}, "2001:db8:0:9::1", 1, false},
	} {
		m := New(size)
		for _, h := range c.held {
			if err := settled(m, h.addr, h.n); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		before := m.Used()
		r := open(m, c.addr)
		if err := r.Take(c.n); (err == nil) != c.wants || err != nil && !errors.Is(err, ErrFull) {
			t.Errorf("%s: got %v", name, err)
		}
		r.Release()
		r.Release()
		if m.Used() != before {
			t.Errorf("%s: %d are taken in the end, %d before", name, m.Used(), before)
		}
	}
}

// TestSlowestIsDropped: when slow senders fill the room, from many addresses or
// few, the slowest lose their memory to newcomers.
func TestSlowestIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const size, each = 16 << 10, 16
		m := New(size)
		var slow []*reader
		for i := 0; m.Used() < size; i++ {
			r := open(m, fmt.Sprintf("192.0.%d.%d", i>>8, i&255))
			r.mustTake(t, each).Came(i, time.Now()) // the first is the slowest
			slow = append(slow, r)
		}
		if err := open(m, "198.51.100.1").Take(each); !errors.Is(err, ErrFull) {
			t.Fatalf("those who have just come are dropped: %v", err)
		}
		wait(2 * time.Second)
		newcomer := open(m, "198.51.100.1").mustTake(t, each)
		if !slow[0].cut || !slow[0].Dropped() || slow[1].cut || m.Used() != size || m.Dropped() != 1 {
			t.Errorf("the slowest: cut %v, the next: %v; %d are used", slow[0].cut, slow[1].cut, m.Used())
		}
		if err := slow[0].Take(1); !errors.Is(err, ErrDropped) {
			t.Errorf("got %v", err)
		}
		if err := slow[0].Settle(0); !errors.Is(err, ErrDropped) {
			t.Errorf("got %v", err)
		}
		slow[0].Give(each)
		slow[0].Release()
		if m.Used() != size {
			t.Errorf("what was dropped is given back twice: %d are used", m.Used())
		}
		newcomer.mustTake(t, 3*each) // three more
		if got := countCut(slow); got != 4 || !slow[3].cut {
			t.Errorf("%d are cut, want the 4 slowest", got)
		}
		if err := slow[5].Take(1000 * each); !errors.Is(err, ErrFull) || countCut(slow) != 4 {
			t.Errorf("got %v, and %d are cut: by somebody slow, or in vain", err, countCut(slow))
		}
	})
}

func countCut(readers []*reader) (n int) {
	for _, r := range readers {
		if r.cut {
			n++
		}
	}
	return n
}

func wait(d time.Duration) { <-time.After(d) }

// TestFastAreKept: a client that sends as fast as a usual connection carries,
// or has sent everything, loses nothing. A client that stops does.
func TestFastAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(4096)
		fast, done, other := open(m, "192.0.2.1").mustTake(t, 1024), open(m, "192.0.2.1").mustTake(t, 1024), open(m, "192.0.2.2").mustTake(t, 1536)
		if err := done.Settle(0); err != nil {
			t.Fatal(err)
		}
		send := func(seconds int) {
			for range seconds {
				fast.Came(2*fastEnough, time.Now())
				other.Came(2*fastEnough, time.Now())
				wait(time.Second)
			}
		}
		send(10)
		newcomer := open(m, "192.0.2.3")
		if err := newcomer.Take(512); !errors.Is(err, ErrFull) || fast.cut || other.cut {
			t.Errorf("got %v; cut: %v, %v", err, fast.cut, other.cut)
		}
		if err := open(m, "192.0.2.1").Take(512); !errors.Is(err, ErrFull) || fast.cut || other.cut {
			t.Errorf("of the same address: got %v; cut: %v, %v", err, fast.cut, other.cut)
		}
		for range 6 {
			other.Came(2*fastEnough, time.Now())
			wait(time.Second) // fast has stopped
		}
		open(m, "192.0.2.1").mustTake(t, 512) // an address that has its share takes from its own slow ones
		if !fast.cut || other.cut || done.cut {
			t.Errorf("cut: %v, %v, %v, want only the one that stopped", fast.cut, other.cut, done.cut)
		}
	})
}

// However requests come and go, the room counts exactly what they hold.
func TestRoomAddsUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(1, 2))
		m := New(10_000)
		var all []*reader
		for range 20_000 {
			if len(all) < 5 || rnd.IntN(8) == 0 {
				all = append(all, open(m, []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:1::"}[rnd.IntN(5)]))
			}
			i := rnd.IntN(len(all))
			r := all[i]
			switch rnd.IntN(5) {
			case 0, 1:
				_ = r.Take(rnd.IntN(2000)) // or not
			case 2:
				r.Came(rnd.IntN(1000), time.Now())
			case 3:
				if r.n > 0 {
					r.Give(rnd.IntN(r.n + 1))
				}
			case 4:
				if !r.settled && rnd.IntN(2) == 0 {
					_ = r.Settle(rnd.IntN(500))
				} else {
					r.Release()
					all = slices.Delete(all, i, i+1)
				}
			}
			wait(time.Duration(rnd.IntN(300)) * time.Millisecond)
			sum := 0
			for _, r := range all {
				sum += r.n
			}
			if sum != m.Used() || sum > m.Size() {
				t.Fatalf("%d are used, %d held", m.Used(), sum)
			}
		}
		for _, r := range all {
			r.Release()
		}
		if m.Used() != 0 || len(m.shares.by) != 0 || m.reading != nil || m.Dropped() == 0 {
			t.Errorf("in the end %d are used, by %d callers; %d were dropped", m.Used(), len(m.shares.by), m.Dropped())
		}
	})
}
