package limit

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"trackway"
	"trackway/internal/limit/table"
)

// Report describes the decisions of the limiter and the callers that it counts,
// at one moment. Its JSON is the answer of /api/limits/usage.
type Report struct {
	// At is when the table was read. The calls of policies are current.
	At       time.Time `json:"at"`
	Table    Table     `json:"table"`
	Policies []Usage   `json:"policies"` // in force, in the order in which a call meets them
}

// Table describes the table of counters.
type Table struct {
	Bytes int `json:"bytes"` // constant
	Slots int `json:"slots"` // the capacity in counters
	Used  int `json:"used"`  // running counters: callers of all policies, wider ranges and candidates
	// Untracked counts calls that were admitted without being counted, because
	// every counter that could have made room belonged to a refused caller.
	Untracked uint64 `json:"untracked"`
}

// Usage describes one policy, and how near its callers are to its limit. The
// policy decides whether a caller is an address (or IPv6 prefix), an address
// and a route, a key or a project.
type Usage struct {
	Name   string        `json:"name"`
	Limit  uint32        `json:"limit"`
	Window int64         `json:"window"` // seconds
	Mode   trackway.Mode `json:"mode"`
	Counts
	Distribution
}

// Counts holds the decisions of one policy since it first came into force, and
// the number of its current callers.
type Counts struct {
	Calls   uint64 `json:"calls"` // decisions
	Refused uint64 `json:"refused"`
	// WouldRefuse counts the calls that report mode admitted over the limit.
	WouldRefuse      uint64 `json:"would_refuse"`
	CandidateRefused uint64 `json:"candidate_refused"` // that the candidate would have refused
	Callers          int    `json:"callers"`           // with a running window; an IPv6 prefix is one caller
}

// Distribution describes how many calls the current callers have made. 95 of
// 100 callers have made P95 calls or fewer, rounded up by less than one in 128.
// Under gcra, it counts the part of the burst that is not back.
type Distribution struct {
	P50 uint32 `json:"p50"`
	P95 uint32 `json:"p95"`
	P99 uint32 `json:"p99"`
	Max uint32 `json:"max"`

	// Tenths counts callers by the used share of their limit: less than a
	// tenth, …, nine tenths or more.
	Tenths [10]int `json:"tenths"`
	// Over counts callers whose last call was over the limit, and who would be
	// refused now. Tenths does not include them.
	Over int `json:"over"`
}

// seen caches the last scan of the table, which runs at most once a second.
type seen struct {
	// mu guards the fields below. It is held during a scan, so that others wait
	// and share the result.
	mu    sync.Mutex
	last  *Report
	force *force
}

const lookEvery = time.Second

// Usage reports on the policies in force. It reads the whole table, but at most
// once a second. This takes about ten milliseconds for each million of callers
// that the limiter was made for.
func (l *Limiter) Usage(now time.Time) Report {
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	f := l.force.Load()
	if age := now.Sub(l.seen.reportedAt()); l.seen.force != f || age < 0 || age >= lookEvery {
		l.seen.last, l.seen.force = l.look(now, f), f
	}
	r := *l.seen.last
	r.Table = l.Table()
	r.Table.Used = l.seen.last.Table.Used
	r.Policies = slices.Clone(r.Policies)
	for i, p := range f.policies {
		u := &r.Policies[i]
		callers := u.Callers
		u.Counts = p.counts()
		u.Callers = callers
	}
	return r
}

// Table returns the figures of the table without the number of running
// counters, at no cost.
func (l *Limiter) Table() Table {
	return Table{Bytes: l.table.Bytes(), Slots: l.table.Slots(), Untracked: l.table.Untracked()}
}

func (s *seen) reportedAt() time.Time {
	if s.last == nil {
		return time.Time{}
	}
	return s.last.At
}

// look scans the table.
func (l *Limiter) look(now time.Time, f *force) *Report {
	at := int64(now.Sub(l.base))
	r := &Report{At: now, Policies: make([]Usage, len(f.policies))}
	calls := make([]distribution, len(f.policies))
	var index [1 << 8]int // by class, counted from 1
	for i, p := range f.policies {
		index[p.class] = i + 1
		r.Policies[i] = Usage{Name: p.Name, Limit: p.Limit, Window: int64(p.Window / time.Second), Mode: p.Mode}
	}
	l.table.Scan(at, func(class uint8, c *table.Counter) {
		r.Table.Used++
		if i := index[class] - 1; i >= 0 {
			use := f.policies[i].own.limit.near.Use(at, c)
			r.Policies[i].add(use)
			calls[i].add(use.Calls)
		}
	})
	for i := range calls {
		u, d := &r.Policies[i], &calls[i]
		u.P50, u.P95, u.P99, u.Max = d.quantile(50), d.quantile(95), d.quantile(99), d.most
	}
	return r
}

func (u *Usage) add(use table.Use) {
	u.Callers++
	if use.Over {
		u.Over++
	} else {
		u.Tenths[use.Tenth]++
	}
}

// distribution counts numbers of calls in buckets. Each small number has its
// own bucket; larger numbers with the same first eight binary digits share one.
// So it stays small even for a high limit.
type distribution struct {
	buckets [fineValues + (countBits-fineBits)*fineValues/2]uint32
	n       int
	most    uint32
}

const (
	fineBits   = 8 // significant binary digits
	fineValues = 1 << fineBits
	countBits  = 22 // of the largest count: table.MaxLimit
)

func (d *distribution) add(v uint32) {
	d.buckets[bucketOf(v)]++
	d.n++
	d.most = max(d.most, v)
}

func bucketOf(v uint32) int {
	if v < fineValues {
		return int(v)
	}
	shift := bits.Len32(v) - fineBits
	return fineValues/2*(shift+1) + int(v>>shift) - fineValues/2
}

// highest returns the largest number that falls into a bucket.
func highest(bucket int) uint32 {
	if bucket < fineValues {
		return uint32(bucket)
	}
	shift := bucket/(fineValues/2) - 1
	return uint32((bucket%(fineValues/2)+fineValues/2+1)<<shift - 1)
}

// quantile returns the smallest number that this percentage of callers does not
// exceed, or 0 if there are no callers.
func (d *distribution) quantile(percent int) uint32 {
	left := (d.n*percent + 99) / 100
	for i := range d.buckets {
		if left -= int(d.buckets[i]); left <= 0 {
			return min(highest(i), d.most)
		}
	}
	return d.most
}

// Counting returns the names of the policies that count the calls of a path.
func (s *Set) Counting(method, path string) []string {
	var names []string
	for rest := s.match(method, path); rest != 0; rest &= rest - 1 {
		names = append(names, s.policies[bits.TrailingZeros64(rest)].Name)
	}
	return names
}
