package limit

import (
	"container/list"
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trackway"
)

// model is the simplest fixed window of one caller.
type model struct {
	end  time.Duration
	used uint32
}

// For any calls and any reloads, each answer agrees with the plain model. A
// window never has more calls than the limit, a caller who keeps to the limit
// is never refused, no call counts for another caller, and refused calls count
// for nobody.
func TestLimiterIsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		policy := api()
		reload := func() *Set {
			policy.Limit = rapid.Uint32Range(1, 8).Draw(t, "limit")
			policy.Window = time.Duration(rapid.IntRange(1, 5).Draw(t, "window")) * time.Second
			set, err := NewSet([]trackway.Policy{policy}, nil)
			if err != nil {
				t.Fatal(err)
			}
			return set
		}
		l := New(reload(), 1000)
		models := make([]model, 4)
		at := time.Duration(0)
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "do") {
			case 0:
				l.Reload(reload())
			case 1, 2:
				at += time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond
			default:
				i := rapid.IntRange(0, len(models)-1).Draw(t, "caller")
				refund := rapid.IntRange(0, 4).Draw(t, "refund") == 0
				step(t, l, &models[i], i, at, &policy, refund)
			}
		}
	})
}

// step makes one call of a caller and compares it with the model.
func step(t *rapid.T, l *Limiter, m *model, i int, at time.Duration, p *trackway.Policy, refund bool) {
	if at >= m.end {
		*m = model{end: at + p.Window}
	}
	allowed := m.used < p.Limit
	if allowed {
		m.used++
	}
	c := &Call{Method: "GET", Path: "/api/x", Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}
	d := l.Allow(l.base.Add(at), c)
	left := p.Limit - min(m.used, p.Limit)
	if d.Allowed != allowed || d.Remaining != left || d.Wait != m.end-at || d.Limit != p.Limit {
		t.Fatalf("at %v caller %d: got %v, %d of %d left for %v; want %v, %d of %d for %v",
			at, i, d.Allowed, d.Remaining, d.Limit, d.Wait, allowed, left, p.Limit, m.end-at)
	}
	// A window that a reload has shortened refunds nothing.
	if refund && allowed && m.end-at <= p.Window {
		if m.used--; m.used == 0 {
			m.end = at // the next call is the first one
		}
		l.Refund(l.base.Add(at), c, &d)
	}
}

// The limit holds while another goroutine changes it: the number of admitted
// calls lies between the two limits.
func TestReloadWhileCounting(t *testing.T) {
	t.Parallel()
	low, high := api(), api()
	low.Limit, high.Limit = 300, 500
	sets := [2]*Set{mustSet(t, low), mustSet(t, high)}
	l := New(sets[0], 100)
	now := time.Now()
	var admitted atomic.Int64
	var callers, reloads sync.WaitGroup
	stop := make(chan struct{})
	reloads.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				l.Reload(sets[i%2])
			}
		}
	})
	for range 8 {
		callers.Go(func() {
			for range 500 {
				if d := l.Allow(now, call("/api/x", "192.0.2.1")); d.Allowed {
					admitted.Add(1)
				}
			}
		})
	}
	callers.Wait()
	close(stop)
	reloads.Wait()
	if n := admitted.Load(); n < 300 || n > 500 {
		t.Errorf("%d calls were admitted, want 300 to 500", n)
	}
}

// For any interleaving, calls that one policy refuses cost nothing under
// another: a flood from one address leaves the shared limit to the others.
func TestFloodIsNotFeltByOthers(t *testing.T) {
	t.Parallel()
	one := api()
	one.Limit = 10
	all := trackway.Policy{Name: "all", Paths: []string{"/api/"}, Also: true, Limit: 100, Window: time.Minute, Per: trackway.PerProj}
	l := New(mustSet(t, one, all), 100)
	now := time.Now()
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			c := call("/api/x", "192.0.2.1")
			c.Project = "p"
			for range 1000 {
				l.Allow(now, c)
			}
		})
	}
	admitted := 0
	for i := range 9 {
		c := call("/api/x", fmt.Sprintf("192.0.2.%d", 10+i))
		c.Project = "p"
		for range 10 {
			if d := l.Allow(now, c); d.Allowed {
				admitted++
			}
		}
	}
	flood.Wait()
	if admitted != 90 {
		t.Errorf("%d of 90 calls of others were admitted during a flood", admitted)
	}
}

// limiter is the target of the attack below.
type limiter interface{ allow(addr netip.Addr) bool }

type ours struct {
	l   *Limiter
	now time.Time
}

func (o ours) allow(a netip.Addr) bool {
	d := o.l.Allow(o.now, &Call{Method: "GET", Path: "/api/x", Addr: a})
	return d.Allowed
}

// lru is the usual bounded limiter: a map of counters that forgets the least
// recently used one. The attack works against it, which shows that the test can
// fail.
type lru struct {
	bound, limit int
	order        list.List
	entries      map[netip.Addr]*list.Element
}

type lruEntry struct {
	addr netip.Addr
	used int
}

func (l *lru) allow(a netip.Addr) bool {
	e := l.entries[a]
	if e == nil {
		if len(l.entries) == l.bound {
			last := l.order.Back()
			delete(l.entries, l.order.Remove(last).(lruEntry).addr)
		}
		e = l.order.PushFront(lruEntry{addr: a})
		l.entries[a] = e
	}
	l.order.MoveToFront(e)
	entry := e.Value.(lruEntry)
	entry.used++
	e.Value = entry
	return entry.used <= l.limit
}

// attack gets a caller refused, sprays calls from many addresses, and returns
// how many calls that caller gets in total.
func attack(l limiter, spray int) (admitted int) {
	attacker := netip.MustParseAddr("192.0.2.1")
	for round := range 10 {
		for range 100 {
			if l.allow(attacker) {
				admitted++
			}
		}
		for i := range spray {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], uint32(10<<24+round*spray+i))
			l.allow(netip.AddrFrom4(b))
		}
	}
	return admitted
}

// A caller cannot erase their count by filling the table.
func TestSprayFreesNobody(t *testing.T) {
	t.Parallel()
	const callers = 2000
	l := New(mustSet(t, api()), callers)
	spray := 5 * l.Table().Slots
	if n := attack(ours{l, time.Now()}, spray); n != 30 {
		t.Errorf("the attacker was admitted %d times, want 30", n)
	}
	if n := l.Table().Untracked; n != 0 {
		t.Errorf("%d calls were not counted", n)
	}
	usual := &lru{bound: l.Table().Slots, limit: 30, entries: make(map[netip.Addr]*list.Element)}
	if n := attack(usual, spray); n != 300 {
		t.Errorf("the attack has no teeth: against a limiter with LRU it was admitted %d times, want 300", n)
	}
}
