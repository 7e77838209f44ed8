package limit

import (
	"math/bits"
	"slices"
	"sync"
	"time"

	"trackway"
	"trackway/internal/limit/table"
)

// Report is what the limiter has done and whom it counts, at one moment. Its
// JSON is the answer of /api/limits/usage.
type Report struct {
	At       time.Time `json:"at"` // when the table was read; the calls of policies are those of the moment of asking
	Table    Table     `json:"table"`
	Policies []Usage   `json:"policies"` // those in force, in the order in which a call meets them
}

// Table describes the table of counters.
type Table struct {
	Bytes     int    `json:"bytes"`     // its size, which never changes
	Slots     int    `json:"slots"`     // the counters that it holds
	Used      int    `json:"used"`      // of them that run: callers of all policies, wider ranges and candidates
	Untracked uint64 `json:"untracked"` // calls admitted without being counted, since all who could have made room were being refused
}

// Usage is one policy, and how near its callers come to its limit. A caller is
// an address (of IPv6 a prefix), an address and a route, a key or a project, as
// the policy counts.
type Usage struct {
	Name   string        `json:"name"`
	Limit  uint32        `json:"limit"`
	Window int64         `json:"window"` // seconds
	Mode   trackway.Mode `json:"mode"`
	Counts
	Distribution
}

// Counts is what one policy has done since it first came into force, and how
// many it counts now.
type Counts struct {
	Calls            uint64 `json:"calls"` // that it decided about
	Refused          uint64 `json:"refused"`
	WouldRefuse      uint64 `json:"would_refuse"`      // in report mode: that were let pass though over the limit
	CandidateRefused uint64 `json:"candidate_refused"` // that its candidate would have refused
	Callers          int    `json:"callers"`           // whose window runs; of IPv6 callers each prefix is one
}

// Distribution is how many calls the callers of now have made. Of 95 in 100
// callers they are P95 or fewer, rounded up by less than one in 128. Under gcra
// they are those of the burst that have not come back.
type Distribution struct {
	P50 uint32 `json:"p50"`
	P95 uint32 `json:"p95"`
	P99 uint32 `json:"p99"`
	Max uint32 `json:"max"`

	Tenths [10]int `json:"tenths"` // callers by the share of their limit that they have used: under a tenth of it, …, nine tenths or more
	Over   int     `json:"over"`   // callers whose last call was over the limit, and one now would be; they are in no tenth
}

// seen is the last look at the table. It is repeated at most once a second.
type seen struct {
	mu    sync.Mutex // guards what follows, and is held over a scan, so that those who ask meanwhile share it
	last  *Report
	force *force
}

const lookEvery = time.Second

// Usage reports on the policies in force. It reads the whole table, but at most
// once a second: some ten milliseconds for each million of callers that the
// limiter was made for.
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

// Table returns the figures of the table, all but how many counters run, at no
// cost.
func (l *Limiter) Table() Table {
	return Table{Bytes: l.table.Bytes(), Slots: l.table.Slots(), Untracked: l.table.Untracked()}
}

func (s *seen) reportedAt() time.Time {
	if s.last == nil {
		return time.Time{}
	}
	return s.last.At
}

// look reads the table.
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
// So it stays small however high a limit is.
type distribution struct {
	buckets [fineValues + (countBits-fineBits)*fineValues/2]uint32
	n       int
	most    uint32
}

const (
	fineBits   = 8 // binary digits that are told apart
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

// quantile returns the smallest number that this many in a hundred do not
// exceed, 0 if there are none.
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
