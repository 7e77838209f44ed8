package main

import (
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"

	"trackway"
	"trackway/internal/limit"
)

// In the attack, a refused attacker makes calls from millions of other
// addresses for a while, and then tries the refused address again. A bounded
// limiter that forgets the least recently seen caller admits that address
// again.
const (
	quota      = 6000
	tableBytes = 64 << 20
	sprays     = 4 // the attacker tries again after each
)

// guard is a limiter under attack.
type guard interface{ allow(a netip.Addr) bool }

// track is the published policy of the tracking API, counted by /64 and /48.
// Its time is virtual, so that 20 million calls fall into one window on a
// machine of any speed.
type track struct {
	l   *limit.Limiter
	now time.Time
}

func newTrack(t *testing.T) *track {
	t.Helper()
	set, err := limit.NewSet([]trackway.Policy{{
		Name: "track", Paths: []string{"/track/"}, Limit: quota, Window: time.Minute,
		IPv6Prefix: 64, IPv6Wide: trackway.IPv6Wide{Prefix: 48, Times: 16},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	const perCaller = 27 // bytes, as documented at limit.New
	return &track{limit.New(set, tableBytes/perCaller), time.Now()}
}

func (g *track) allow(a netip.Addr) bool {
	g.now = g.now.Add(2500 * time.Nanosecond)
	d := g.l.Allow(g.now, &limit.Call{Method: "POST", Path: "/track/v2/projects/x/batch", Route: "/track/v2/projects/{token}/batch", Addr: a})
	return d.Allowed
}

// lru is the package throttled with its bounded store, which forgets the least
// recently used.
type lru struct{ *throttled.GCRARateLimiterCtx }

func newLRU(t *testing.T) lru {
	t.Helper()
	const perCaller = 128 // bytes, roughly; it takes more
	s, err := memstore.NewCtx(tableBytes / perCaller)
	if err != nil {
		t.Fatal(err)
	}
	l, err := throttled.NewGCRARateLimiterCtx(s, throttled.RateQuota{MaxRate: throttled.PerHour(1), MaxBurst: quota - 1})
	if err != nil {
		t.Fatal(err)
	}
	return lru{l}
}

func (g lru) allow(a netip.Addr) bool {
	limited, _, err := g.RateLimitCtx(context.Background(), a.String(), 1)
	return err == nil && !limited
}

// spray makes n calls from as many addresses, starting at index first, each in
// a /48 of its own.
func spray(g guard, first, n int) (perCall time.Duration) {
	began := time.Now()
	for i := range uint32(n) {
		var b [16]byte
		b[0] = 0x2a
		// The permutation makes them unordered.
		binary.BigEndian.PutUint32(b[2:], (uint32(first)+i)*2654435761)
		b[15] = 1
		g.allow(netip.AddrFrom16(b))
	}
	return time.Since(began) / time.Duration(n)
}

// tries returns how many of n calls are admitted.
func tries(g guard, a netip.Addr, n int) (admitted int) {
	for range n {
		if g.allow(a) {
			admitted++
		}
	}
	return admitted
}

// attackers are the refused addresses, one IPv4 and one IPv6.
var attackers = []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8:bad:1::7")}

// attack makes calls from other addresses between the attackers' tries, and
// returns how many tries were admitted beyond the quota.
func attack(t *testing.T, g guard, addresses int) (beyond int) {
	t.Helper()
	for _, a := range attackers {
		if n := tries(g, a, quota+100); n != quota {
			t.Fatalf("%v was admitted %d times before the attack, want %d", a, n, quota)
		}
	}
	for round := range sprays {
		perCall := spray(g, round*addresses/sprays, addresses/sprays)
		t.Logf("%T, %d addresses: %v a call", g, (round+1)*addresses/sprays, perCall)
		for _, a := range attackers {
			beyond += tries(g, a, quota)
		}
	}
	return beyond
}

// known makes calls from callers that the limiter may know, and returns the
// cost of a call.
func known(g guard, callers, calls int) time.Duration {
	began := time.Now()
	for i := range uint32(calls) {
		g.allow(addr(i * 2654435761 % uint32(callers)))
	}
	return time.Since(began) / time.Duration(calls)
}

func heapBytes() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestMemoryAttack checks that 20 million addresses make the table neither
// larger nor slower, and that they free no refused address.
func TestMemoryAttack(t *testing.T) {
	addresses := 20_000_000
	if testing.Short() {
		addresses = 8_000_000
	}
	g := newTrack(t)
	half := netip.MustParseAddr("198.51.100.1") // not refused, but well known
	if n := tries(g, half, quota/2); n != quota/2 {
		t.Fatalf("%d of %d calls were admitted", n, quota/2)
	}
	before, cheap := heapBytes(), known(g, 1000, 2_000_000)
	if size := g.l.Table().Bytes; size > tableBytes {
		t.Errorf("the table has %d bytes, want at most %d", size, tableBytes)
	}
	if n := attack(t, g, addresses); n != 0 {
		t.Errorf("refused callers were admitted %d times", n)
	}
	if n := tries(g, half, quota); n != quota/2 {
		t.Errorf("a caller who had used half was admitted %d times, want %d", n, quota/2)
	}
	if grown := heapBytes() - before; grown > 1<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if n := g.l.Table().Untracked; n != 0 {
		t.Errorf("%d calls were not counted", n)
	}
	t.Logf("1000 known callers, a call: %v before, %v after", cheap, known(g, 1000, 2_000_000))
}

// TestAttackHasTeeth checks that the same attack frees the attackers of a
// bounded limiter that forgets the least recently used.
func TestAttackHasTeeth(t *testing.T) {
	if n := attack(t, newLRU(t), 4_000_000); n != sprays*len(attackers)*quota {
		t.Errorf("refused callers were admitted %d times, want %d", n, sprays*len(attackers)*quota)
	}
}
