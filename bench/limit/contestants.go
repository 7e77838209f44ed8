package main

import (
	"context"
	"hash/maphash"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/didip/tollbooth/v7"
	"github.com/go-chi/httprate"
	memory "github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	ulule "github.com/ulule/limiter/v3"
	ululestore "github.com/ulule/limiter/v3/drivers/store/memory"
	"golang.org/x/time/rate"

	"trackway"
	"trackway/internal/limit"
	"trackway/internal/limit/table"
)

// contestant is a limiter to compare.
type contestant struct {
	name string
	slow bool // needs too much memory to run with ten million callers beside the others
	open func(column) *limiter
}

// limiter is a contestant that is ready to count. All calls come by number, or
// all by key.
type limiter struct {
	byID  func() func(id uint32)  // returns the function that one worker calls
	byKey func() func(key string) // the same, for callers by name
	// worker is set by prepare. It returns the function that a worker calls for
	// each position of the sequence.
	worker func() func(i int)
}

// meet makes each caller's first call.
func (l *limiter) meet(callers int) {
	if l.byID != nil {
		take := l.byID()
		for id := range callers {
			take(uint32(id))
		}
		return
	}
	take := l.byKey()
	for id := range callers {
		take(addr(uint32(id)).String())
	}
}

// prepare ties the limiter to a sequence of calls, and uses up the limit if
// calls are to be refused.
func (l *limiter) prepare(col column, c *calls) {
	if l.byID != nil {
		l.worker = func() func(int) {
			take := l.byID()
			return func(i int) { take(c.ids[i]) }
		}
	} else {
		c.spell()
		l.worker = func() func(int) {
			take := l.byKey()
			return func(i int) { take(c.key(i)) }
		}
	}
	if col.limit > 0 {
		take := l.worker()
		for range col.limit {
			take(0)
		}
	}
}

func contestantNamed(name string) contestant {
	for _, c := range contestants {
		if c.name == name {
			return c
		}
	}
	log.Fatalf("no limiter %q", name)
	return contestant{}
}

var contestants = []contestant{
	{name: "Trackway, `Take`, the time passed in", open: trackwayTake(false)},
	{name: "Trackway, `Take`, asking the clock", open: trackwayTake(true)},
	{name: "Trackway, `Allow` and the five fields, asking the clock", open: trackwayAllow},
	{name: "256 shards of a mutex and a map", open: shards},
	{name: "sethvargo/go-limiter", open: sethvargo},
	{name: "throttled, map store", open: throttledMap},
	{name: "go-chi/httprate (writes its three fields)", open: chi},
	{name: "x/time/rate in a sync.Map", open: xrate},
	{name: "ulule/limiter", slow: true, open: ululeMemory},
	{name: "didip/tollbooth", slow: true, open: didip},
}

// step is how far the virtual time advances with each call. It is so large that
// no single caller reaches the largest limit that a counter can hold.
const step = 300

// trackwayTake measures the table alone. Its time is virtual, or the clock's
// plus a virtual part so that windows keep ending.
func trackwayTake(clock bool) func(column) *limiter {
	return func(col column) *limiter {
		t, rule := table.New(col.callers), table.Fixed(table.MaxLimit, 1000)
		if col.limit > 0 {
			rule = table.Fixed(uint32(col.limit), 3600e3)
		}
		t.Prepare(1, &rule)
		base := time.Now()
		return &limiter{byID: func() func(uint32) {
			virtual := int64(1)
			return func(id uint32) {
				virtual += step
				now := virtual
				if clock {
					now += int64(time.Since(base))
				}
				t.Take(now, t.Key(1, 0, uint64(id), 0), 1, &rule)
			}
		}}
	}
}

// trackwayAllow measures the server's work for a call whose address is known:
// find the policy, count, describe, write fields.
func trackwayAllow(col column) *limiter {
	p := trackway.Policy{Name: "track", Paths: []string{"/track/"}, Limit: table.MaxLimit, Window: time.Second, AllowBelowFloor: true}
	if col.limit > 0 {
		p.Limit, p.Window = uint32(col.limit), time.Hour
	}
	set, err := limit.NewSet([]trackway.Policy{p}, nil)
	must(err)
	l := limit.New(set, col.callers)
	return &limiter{byID: func() func(uint32) {
		virtual := time.Duration(0)
		header, fields := http.Header{}, new(limit.Fields)
		return func(id uint32) {
			virtual += step
			d := l.Allow(time.Now().Add(virtual), &limit.Call{
				Method: "POST", Path: "/track/v2/projects/x/batch", Route: "/track/v2/projects/{token}/batch", Addr: addr(id),
			})
			fields.Set(header, &d)
		}
	}}
}

// shards is the limiter that one would write in ten minutes: a fixed window in
// a map behind a mutex, in 256 parts.
func shards(col column) *limiter {
	type counter struct{ start, used uint32 }
	type shard struct {
		sync.Mutex
		m map[uint64]counter
	}
	most := uint32(1 << 31)
	if col.limit > 0 {
		most = uint32(col.limit)
	}
	all, seed, base := new([256]shard), maphash.MakeSeed(), time.Now()
	for i := range all {
		all[i].m = make(map[uint64]counter)
	}
	return &limiter{byID: func() func(uint32) {
		return func(id uint32) {
			now := uint32(time.Since(base) / time.Second)
			h := maphash.Comparable(seed, uint64(id))
			s := &all[h%256]
			s.Lock()
			c := s.m[h]
			if now-c.start >= 3600 {
				c = counter{start: now}
			}
			if c.used < most {
				c.used++
				s.m[h] = c
			}
			s.Unlock()
		}
	}}
}

func sethvargo(col column) *limiter {
	tokens := uint64(1) << 40
	if col.limit > 0 {
		tokens = uint64(col.limit)
	}
	s, err := memory.New(&memory.Config{Tokens: tokens, Interval: time.Hour})
	must(err)
	ctx := context.Background()
	return byKey(func(key string) { _, _, _, _, err := s.Take(ctx, key); must(err) })
}

func throttledMap(col column) *limiter {
	s, err := memstore.NewCtx(0)
	must(err)
	quota := throttled.RateQuota{MaxRate: throttled.PerDuration(1e6, time.Second), MaxBurst: 1e12}
	if col.limit > 0 {
		quota = throttled.RateQuota{MaxRate: throttled.PerHour(col.limit), MaxBurst: col.limit - 1}
	}
	l, err := throttled.NewGCRARateLimiterCtx(s, quota)
	must(err)
	ctx := context.Background()
	return byKey(func(key string) {
		// If two workers use one key, the limiter may give up after ten
		// attempts and return an error. A server would then answer 500.
		_, _, _ = l.RateLimitCtx(ctx, key, 1)
	})
}

func chi(col column) *limiter {
	most := 1 << 40
	if col.limit > 0 {
		most = col.limit
	}
	l := httprate.NewRateLimiter(most, time.Hour)
	return &limiter{byKey: func() func(string) {
		w, r := writer{}, new(http.Request)
		return func(key string) { l.OnLimit(w, r, key) }
	}}
}

// writer is an answer that nobody reads.
type writer http.Header

func (w writer) Header() http.Header           { return http.Header(w) }
func (writer) Write(b []byte) (n int, _ error) { return len(b), nil }
func (writer) WriteHeader(int)                 {}

func xrate(col column) *limiter {
	per, burst := rate.Limit(1e6), int(1e12)
	if col.limit > 0 {
		per, burst = rate.Limit(float64(col.limit)/3600), col.limit
	}
	var m sync.Map
	return byKey(func(key string) {
		l, ok := m.Load(key)
		if !ok {
			l, _ = m.LoadOrStore(key, rate.NewLimiter(per, burst))
		}
		l.(*rate.Limiter).Allow()
	})
}

func ululeMemory(col column) *limiter {
	most := int64(1) << 40
	if col.limit > 0 {
		most = int64(col.limit)
	}
	l := ulule.New(ululestore.NewStore(), ulule.Rate{Period: time.Hour, Limit: most})
	ctx := context.Background()
	return byKey(func(key string) { _, err := l.Get(ctx, key); must(err) })
}

func didip(col column) *limiter {
	perSecond := 1e12
	if col.limit > 0 {
		perSecond = float64(col.limit) / 3600
	}
	l := tollbooth.NewLimiter(perSecond, nil)
	return byKey(func(key string) { l.LimitReached(key) })
}

func byKey(take func(key string)) *limiter {
	return &limiter{byKey: func() func(string) { return take }}
}
