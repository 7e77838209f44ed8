// Package watch remembers who calls most, who is refused most, and what they
// send, so that the operator can choose limits. Its time and memory are bounded
// for any traffic: it looks at a sample of the calls, keeps the most active
// callers (the Space-Saving sketch), and the last few things that they sent. It
// affects nobody's limit. It keeps nothing on disk, logs nothing and exports no
// metric, because an address is personal data.
package watch

import (
	"cmp"
	"hash/maphash"
	"maps"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"trackway/internal/clientip"
)

const (
	kept       = 200              // callers kept per policy, of those who call and of those who are refused
	half       = 30 * time.Minute // reports cover the last one to two of these
	callerBits = 64               // of an IPv6 address that identify a caller
)

// Watch is the memory. It takes a few hundred bytes for each caller that it
// keeps, and less than 2 MB for a policy, for any input. It is safe for
// concurrent use.
type Watch struct {
	base     time.Time
	seed     maphash.Seed
	samplers [samplers]sampler

	mu       sync.Mutex // guards the fields below; nothing waits under it
	began    time.Time  // the start of the newer generation
	policies map[string]*record
}

// record holds the newer and the previous generation of one policy.
type record [2]generation

// generation is half an hour of one policy.
type generation struct{ calls, refused sketch }

func (g *generation) empty() bool { return g.calls.empty() && g.refused.empty() }

// New returns an empty memory.
func New(now time.Time) *Watch {
	return &Watch{base: now, seed: maphash.MakeSeed(), began: now, policies: make(map[string]*record)}
}

// Call is one sampled call. Strings that are kept are copied.
type Call struct {
	At       time.Time
	Weight   uint64 // from [Watch.Sample]
	Addr     netip.Addr
	Policies []string // those that counted it, or the one that refused it
	Refused  bool
	Source   string // how Addr was found
	Project  string // its name, never a token; empty if the project is not known
	Route    string // method and pattern
	Agent    string // User-Agent
}

// Note remembers a sampled call, unless it has no address. It costs a
// microsecond or two.
func (w *Watch) Note(c *Call) {
	if !c.Addr.IsValid() {
		return
	}
	key := clientip.KeyOf(c.Addr, callerBits)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnLocked(c.At)
	for _, name := range c.Policies {
		w.recordLocked(name)[0].note(key, c)
	}
}

func (w *Watch) recordLocked(policy string) *record {
	r := w.policies[policy]
	if r == nil {
		r = new(record)
		w.policies[policy] = r
	}
	return r
}

func (g *generation) note(key clientip.Key, c *Call) {
	g.calls.add(key, c.Weight).note(c)
	if c.Refused {
		g.refused.add(key, c.Weight).note(c)
	} else if known := g.refused.get(key); known != nil {
		known.note(c)
	}
}

// Sent remembers the content of a noted and accepted call: its body, and the
// types of its events. A body is a repeat if its hash matches one of the
// caller's last few bodies.
func (w *Watch) Sent(c *Call, body []byte, types []string) {
	key, hash := clientip.KeyOf(c.Addr, callerBits), maphash.Bytes(w.seed, body)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range c.Policies {
		if r := w.policies[name]; r != nil {
			for _, s := range []*sketch{&r[0].calls, &r[0].refused} {
				if known := s.get(key); known != nil {
					known.sent(hash, types)
				}
			}
		}
	}
}

// turnLocked begins the next generation when it is due.
func (w *Watch) turnLocked(now time.Time) {
	age := now.Sub(w.began)
	if age < half {
		return
	}
	w.began = w.began.Add(age.Truncate(half))
	for name, r := range w.policies {
		*r = record{{}, r[0]}
		if age >= 2*half || r[1].empty() {
			delete(w.policies, name) // removes policies that no longer exist, too
		}
	}
}

// Caller is one caller under one policy.
type Caller struct {
	Policy  string `json:"policy"`
	Address string `json:"address"` // an IPv4 address or an IPv6 /64
	// Source says how the address of the last call was found: from the peer, or
	// from a header and past which proxies.
	Source  string `json:"address_from"`
	Calls   uint64 `json:"calls"`
	Refused uint64 `json:"refused"`
	// Error is how much too high the count that orders the callers may be,
	// because the caller took the place of another. If calls are sampled, it
	// includes the sampling error, which exceeds it in at most one case of
	// twenty.
	Error uint64    `json:"error"`
	First time.Time `json:"first"` // when it was added
	Last  time.Time `json:"last"`

	// The rest is what it sent, the latest first, a few of each.
	Projects []string `json:"projects"` // names
	Routes   []string `json:"routes"`
	Agents   []string `json:"user_agents"`
	Types    []string `json:"event_types"` // of accepted events

	Bodies  uint64  `json:"bodies"`  // accepted and sampled
	Repeats float64 `json:"repeats"` // the share of them that repeat one of its last few
}

// Top returns the callers of a policy (empty: of each) that called most, or
// were refused most, with the highest number first. since is when counting
// began: half an hour to an hour ago, or when the server started. Top knows
// every caller with more than a two-hundredth of a policy's calls, or refusals,
// in either half hour. rows bounds the number of results.
func (w *Watch) Top(now time.Time, policy string, refused bool, rows int) (since time.Time, callers []Caller) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turnLocked(now)
	since = w.began.Add(-half)
	if since.Before(w.base) {
		since = w.base
	}
	callers = []Caller{}
	for name, r := range w.policies {
		if policy == "" || policy == name {
			callers = append(callers, r.top(name, refused)...)
		}
	}
	count := func(c *Caller) uint64 {
		if refused {
			return c.Refused
		}
		return c.Calls
	}
	slices.SortFunc(callers, func(a, b Caller) int {
		return cmp.Or(cmp.Compare(count(&b), count(&a)), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.Address, b.Address))
	})
	return since, callers[:min(rows, len(callers))]
}

// top returns all callers that are kept for a policy.
func (r *record) top(policy string, refused bool) []Caller {
	now, before := &r[0].calls, &r[1].calls
	if refused {
		now, before = &r[0].refused, &r[1].refused
	}
	keys := make(map[clientip.Key]*caller)
	maps.Copy(keys, now.index)
	maps.Copy(keys, before.index)
	floorNow, floorBefore := now.floor(), before.floor()
	callers := make([]Caller, 0, len(keys))
	for key := range keys {
		c := merge(now.look(key, floorNow), before.look(key, floorBefore))
		row := c.row(policy)
		if refused {
			row.Refused, row.Calls = c.count, max(c.calls, c.count, countOf(key, &r[0].calls, &r[1].calls))
		} else {
			row.Calls, row.Refused = c.count, max(c.refused, countOf(key, &r[0].refused, &r[1].refused))
		}
		row.Error = c.over + uint64(math.Ceil(2*math.Sqrt(c.variance)))
		callers = append(callers, row)
	}
	return callers
}

// countOf returns the count of a caller in some sketches.
func countOf(key clientip.Key, sketches ...*sketch) (n uint64) {
	for _, s := range sketches {
		if c := s.get(key); c != nil {
			n += c.count
		}
	}
	return n
}
