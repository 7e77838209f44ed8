package room

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// line records the order in which waiters get their places.
type line struct {
	t     *testing.T
	p     *Places
	order []string
}

func (l *line) wait(addr string) {
	go func() {
		if l.p.Enter(l.t.Context(), netip.MustParseAddr(addr)) {
			l.order = append(l.order, addr)
		}
	}()
	synctest.Wait()
}

func (l *line) leave(addr, want string) {
	l.t.Helper()
	before := len(l.order)
	l.p.Leave(netip.MustParseAddr(addr))
	synctest.Wait()
	got := ""
	if len(l.order) > before {
		got = l.order[before]
	}
	if got != want || len(l.order) > before+1 {
		l.t.Errorf("after %s has left: got %q, want %q", addr, got, want)
	}
}

// Once an address has used its share, its requests wait in a line of their own.
// A free place goes to the address that has the fewest.
func TestPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, p: NewPlaces(4, 2)}
		const a, b, c, d = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
		for range 10 {
			l.wait(a)
		}
		if len(l.order) != 2 {
			t.Fatalf("%d have places, want the share of an address", len(l.order))
		}
		l.wait(b) // beside eight who wait
		l.wait(b)
		if len(l.order) != 4 {
			t.Fatalf("%d have places, want all", len(l.order))
		}
		l.wait(b)
		l.wait(c)
		if l.p.TryEnter(netip.MustParseAddr(d)) {
			t.Error("there are more places than there are")
		}
		l.leave(b, c)
		l.leave(a, a)
		l.leave(b, b)
		l.leave(a, a)
		l.leave(c, "") // a has its share
		if got, want := l.p.Counts(), (Counts{Size: 4, Taken: 3, Waiting: 6, Refused: 1}); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for range 6 {
			l.leave(a, a)
		}
		l.leave(a, "")
		l.leave(a, "")
		l.leave(b, "")
		if l.p.Counts().Taken != 0 || len(l.p.shares.by) != 0 {
			t.Errorf("in the end %+v, by %d callers", l.p.Counts(), len(l.p.shares.by))
		}
	})
}

// Addresses take turns. An address need not wait until another address has been
// served completely, nor until many addresses of one IPv6 /48 have.
func TestPlacesTakeTurns(t *testing.T) {
	t.Parallel()
	const a, b, c, near, nearer = "192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, p: NewPlaces(1, 1)}
		for range 4 {
			l.wait(a)
		}
		l.leave(a, a) // nobody else waits
		for _, addr := range []string{b, b, c, near, nearer} {
			l.wait(addr)
		}
		l.leave(a, b)
		l.leave(b, c)
		l.leave(c, a)
		l.leave(a, b)
		l.leave(b, near)
		l.leave(near, a)
		l.leave(a, nearer)
		l.leave(nearer, "")
	})
}

// The turns of those who do not wait any more are forgotten.
func TestTurnsAreForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &line{t: t, p: NewPlaces(1, 1)}
		before := netip.AddrFrom4([4]byte{192, 0, 2, 1})
		l.wait(before.String())
		for i := range 2000 {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}).String()
			l.wait(addr)
			l.leave(before.String(), addr)
			before = netip.MustParseAddr(addr)
		}
		if len(l.p.last) > 500 {
			t.Errorf("the turns of %d callers are kept, and nobody waits", len(l.p.last))
		}
	})
}

// Many addresses of one IPv6 /48 have a share together.
func TestPlacesOfASite(t *testing.T) {
	t.Parallel()
	p := NewPlaces(16, 4)
	n := 0
	for i := range 100 {
		if p.TryEnter(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, byte(i)})) {
			n++
		}
	}
	if n != 10 || !p.TryEnter(netip.MustParseAddr("2001:db8:1::1")) {
		t.Errorf("a /48 has %d of 16 places, want 10, and some for others", n)
	}
}

// TestPlacesGivenUp: a caller that gives up leaves the line, and no place is
// lost to others.
func TestPlacesGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(1, 1)
		addr := netip.MustParseAddr("192.0.2.1")
		p.TryEnter(addr)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if p.Enter(ctx, addr) {
			t.Error("the place was taken")
		}
		p.Leave(addr)
		ended, stop := context.WithCancel(t.Context())
		stop()
		for range 100 { // with luck both happen at once
			p.TryEnter(addr)
			go p.Leave(addr)
			if p.Enter(ended, addr) {
				p.Leave(addr)
			}
			synctest.Wait()
		}
		if got := p.Counts(); got.Taken != 0 || got.Waiting != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

// If an address leaves a place late, the place counts towards its share for a
// while, and nobody else has to wait for that.
func TestLeaveLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPlaces(1, 1)
		a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		began := time.Now()
		var order []string
		enter := func(addr netip.Addr, name string) {
			go func() {
				if p.Enter(t.Context(), addr) {
					order = append(order, fmt.Sprint(name, " after ", time.Since(began)))
				}
			}()
			synctest.Wait()
		}
		enter(a, "a")
		enter(a, "a again")
		enter(b, "b")
		p.LeaveLate(a, time.Second)
		synctest.Wait()
		p.Leave(b)
		<-time.After(2 * time.Second)
		synctest.Wait()
		p.Leave(a)
		if got, want := fmt.Sprint(order), "[a after 0s b after 0s a again after 1s]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if n := len(p.shares.by); n > 0 || p.Counts().Taken > 0 {
			t.Errorf("%d have a share in the end, %d places are taken", n, p.Counts().Taken)
		}
	})
}
