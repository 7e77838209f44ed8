package pace

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const every = time.Millisecond

var (
	flooder = netip.MustParseAddr("192.0.2.1")
	other   = netip.MustParseAddr("198.51.100.1")
)

// TestLine checks who is held back: no caller that is refused alone or among
// few, and a flood only as far as its rate requires.
func TestLine(t *testing.T) {
	t.Parallel()
	var l line
	for n := range atOnce/every + 1 {
		if d := l.join(0, every); d != 0 {
			t.Fatalf("refusal %d is held for %v", n, d)
		}
	}
	for want := every; want <= longestHold; want += every {
		if d := l.join(0, every); d != want {
			t.Fatalf("a refusal is held for %v, want %v", d, want)
		}
	}
	for range 1000 { // no number of refusals makes the line longer
		if d := l.join(0, every); d != longestHold {
			t.Fatalf("a refusal is held for %v, want %v", d, longestHold)
		}
	}
	if d, want := l.join(100*time.Millisecond, every), longestHold-100*time.Millisecond; d != want {
		t.Errorf("100 ms later a refusal is held for %v, want %v", d, want)
	}
	if d := l.join(time.Minute, every); d != 0 {
		t.Errorf("after a minute's rest a refusal is held for %v", d)
	}
}

// TestDelay checks that a flood from one address holds nobody else back, and
// that the addresses of an IPv6 /64 are one caller.
func TestDelay(t *testing.T) {
	t.Parallel()
	p := New(time.Now(), 4)
	for range 100 * perAddress {
		p.delay(flooder, 0)
	}
	if d := p.delay(flooder, 0); d != longestHold {
		t.Errorf("a flood is held for %v, want %v", d, longestHold)
	}
	if d := p.delay(unlike(p, flooder), 0); d != 0 {
		t.Errorf("another caller is held for %v", d)
	}
	p = New(time.Now(), 4)
	site := netip.MustParseAddr("2001:db8::").As16()
	for i := range byte(perAddress + 2) {
		site[15] = i
		p.delay(netip.AddrFrom16(site), 0)
	}
	site[15] = 255
	if d := p.delay(netip.AddrFrom16(site), 0); d == 0 {
		t.Error("a flood from the addresses of one /64 is not held")
	}
}

// unlike returns an address that does not share a line with who. Chance decides
// which addresses do.
func unlike(p *Pace, who netip.Addr) netip.Addr {
	a := other
	for p.lineOf(a) == p.lineOf(who) {
		a = a.Next()
	}
	return a
}

// TestRates floods with callers that ask again as soon as they are answered,
// and compares the answers with the rates in docs/limits.md.
func TestRates(t *testing.T) {
	t.Parallel()
	const seconds = 20
	for name, c := range map[string]struct {
		callers, processors int
		many                bool // each caller has an address of its own
		want                int  // answers a second
	}{
		"one address":                        {64, 2, false, perAddress},
		"one address, one processor":         {64, 1, false, perAddress},
		"many addresses, one processor":      {64, 1, true, perProcessor},
		"many addresses, two processors":     {64, 2, true, 2 * perProcessor},
		"many addresses, eight processors":   {400, 8, true, 8 * perProcessor},
		"more callers than the longest hold": {1000, 2, true, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := New(time.Now(), c.processors)
				ctx, cancel := context.WithTimeout(t.Context(), seconds*time.Second)
				defer cancel()
				var mu sync.Mutex
				answers := 0
				var wg sync.WaitGroup
				who := flooder
				for range c.callers {
					from := who
					wg.Go(func() {
						for ctx.Err() == nil {
							p.Hold(ctx.Done(), from, time.Now())
							mu.Lock()
							answers++
							mu.Unlock()
						}
					})
					if c.many {
						who = who.Next()
					}
				}
				wg.Wait()
				<-time.After(longestHold + 2*waveEvery) // the last wave has left
				// Answers that are held for the longest time come up to two
				// waves late. There are more at the beginning, and all held
				// ones come at the end.
				least := c.want * seconds * int(longestHold-2*waveEvery) / int(longestHold)
				most := c.want*seconds + c.want*int(atOnce/time.Second) + 2*c.callers
				if answers < least || answers > most {
					t.Errorf("%d answers in %d s, want %d to %d", answers, seconds, least, most)
				}
			})
		})
	}
}

// TestHold checks that a refusal is held no longer than necessary, that
// refusals of the same wave leave together, and that no state remains of them.
func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(time.Now(), 1)
		const n = 100
		for range perAddress + n {
			p.delay(flooder, 0)
		}
		want := p.delay(flooder, 0)
		began := time.Now()
		wait := holdMany(p, n)
		gone := make(chan struct{})
		close(gone)
		p.Hold(gone, flooder, began)
		if took := time.Since(began); took != 0 {
			t.Errorf("a refusal whose caller is gone was held for %v", took)
		}
		times := wait()
		for took := range times {
			if took < want || took > longestHold+2*waveEvery {
				t.Errorf("a refusal was held for %v, want %v to %v", took, want, longestHold+2*waveEvery)
			}
		}
		if len(times) > n/2 {
			t.Errorf("%d refusals left at %d times", n, len(times))
		}
		for at, size := range times {
			if size > together {
				t.Errorf("%d refusals left together after %v, want at most %d", size, at, together)
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.waves) > 0 {
			t.Errorf("%d waves are kept", len(p.waves))
		}
	})
}

// holdMany holds n refusals at once. wait returns how many were held for how
// long.
func holdMany(p *Pace, n int) (wait func() map[time.Duration]int) {
	held := make(map[time.Duration]int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for range n {
		wg.Go(func() {
			p.Hold(nil, flooder, began)
			mu.Lock()
			defer mu.Unlock()
			held[time.Since(began)]++
		})
	}
	return func() map[time.Duration]int {
		wg.Wait()
		return held
	}
}

// TestCrowd makes very many refusals leave in the same wave. The wave must not
// take more steps than timers can keep up with, or the last refusals would be
// held for longer than docs/limits.md says.
func TestCrowd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(time.Now(), 1)
		for range 10 * perAddress {
			p.delay(flooder, 0)
		}
		const n = 4000
		left := holdMany(p, n)()
		if len(left) > 20 {
			t.Errorf("%d refusals left at %d times", n, len(left))
		}
		for at, size := range left {
			if at > longestHold+2*waveEvery || size > n/10 {
				t.Errorf("%d refusals left after %v", size, at)
			}
		}
	})
}
