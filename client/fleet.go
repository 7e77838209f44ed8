package client

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// askAgain is the shortest time between two requests for the list of servers,
// however many servers fail: these requests count towards a limit too.
const askAgain = 10 * time.Second

// server is one tracking server as this client sees it.
type server struct {
	URL    string `json:"url"`
	Name   string `json:"name"`
	Region string `json:"region"`
	State  string `json:"state"` // as reported; empty means up

	until    time.Time // not asked before then, after a failure
	failures int       // in a row
	pace     pacer
}

// rank orders the states. A server that is said to be down is still better than
// no server.
func (s *server) rank() int {
	switch s.State {
	case "", "up":
		return 0
	case "service":
		return 1
	}
	return 2
}

// wanted is what the options say about the choice of a server.
type wanted struct{ name, region string }

// choose returns the servers to draw from, and how long to wait before asking.
// It keeps the current server as long as that may be asked. A client that
// returned to its first server would run into that server's next failure.
// Besides, servers that do not share their data each recognize only their own
// duplicates.
func (w wanted) choose(all []*server, current string, now time.Time) (from []*server, wait time.Duration) {
	ready := func(s *server) bool { return !s.until.After(now) }
	fits := slices.DeleteFunc(slices.Clone(all), func(s *server) bool { return w.name != "" && s.Name != w.name })
	if i := slices.IndexFunc(fits, func(s *server) bool { return s.URL == current && ready(s) }); i >= 0 {
		return fits[i : i+1], 0
	}
	for _, s := range fits {
		if ready(s) {
			from = append(from, s)
		}
	}
	if len(from) == 0 {
		if len(fits) == 0 {
			return nil, askAgain
		}
		first := slices.MinFunc(fits, func(a, b *server) int { return a.until.Compare(b.until) })
		return []*server{first}, first.until.Sub(now)
	}
	here := func(s *server) bool { return s.Region == w.region }
	if w.region != "" && slices.ContainsFunc(from, here) {
		from = slices.DeleteFunc(from, func(s *server) bool { return !here(s) })
	}
	best := slices.MinFunc(from, func(a, b *server) int { return a.rank() - b.rank() }).rank()
	return slices.DeleteFunc(from, func(s *server) bool { return s.rank() != best }), 0
}

// readServers reads an answer of /api/servers. asked is the address that gave
// it; the result always holds at least that server.
func readServers(body []byte, asked string) []*server {
	asked = serverURL(asked, "")
	var list struct{ Servers []*server }
	if json.Unmarshal(body, &list) != nil {
		return []*server{{URL: asked, State: "up"}}
	}
	var found []*server
	for _, s := range list.Servers {
		if s == nil {
			continue
		}
		if s.URL == "" {
			s.URL = asked
		}
		if s.URL = serverURL(s.URL, asked); s.URL != "" {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return []*server{{URL: asked, State: "up"}}
	}
	return found
}

// fleet is the list of servers of one client, with the one in use. It is safe
// for concurrent use.
type fleet struct {
	wanted

	rules rules

	mu      sync.Mutex // guards what follows; not held during requests
	servers []*server
	current string // URL; empty before the first request
	asked   time.Time
	stale   bool // the list should be read again
}

func newFleet(o *Options) *fleet {
	f := &fleet{wanted: wanted{o.Name, o.Region}, rules: rules{o.MaxDelay}, stale: o.Discover}
	for _, u := range o.URLs {
		f.servers = append(f.servers, &server{URL: u})
	}
	return f
}

// next returns the server to ask, and how long to wait before asking. After a
// wait, call next again.
func (f *fleet) next(now time.Time) (*server, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, wait := f.choose(f.servers, f.current, now)
	if wait > 0 {
		f.stale = f.stale || len(from) == 0 // no server has the wanted name: the list may be outdated
		return nil, wait
	}
	s := from[rand.IntN(len(from))] //nolint:gosec // G404: spreads clients out, no secret
	if s.URL != f.current {
		if f.current != "" { // the clients of a failed server must not all move to the next at once
			s.pace.hold(now.Add(draw(0, firstDelay, random())))
		}
		f.current = s.URL
	}
	if wait := s.pace.until.Sub(now); wait > 0 {
		return nil, wait
	}
	return s, 0
}

// sent records that a request goes to a server.
func (f *fleet) sent(s *server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pace.calls++
}

// decide returns what an answer means for a batch, and updates what is known
// about the server.
func (f *fleet) decide(s *server, a *answer, commands int, now time.Time) decision {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pace.answered(a.header, now, random())
	d := f.rules.decide(a, s.failures+1, commands, now)
	f.conclude(s, &d, now)
	return d
}

func (f *fleet) conclude(s *server, d *decision, now time.Time) {
	switch {
	case d.unclear():
		s.pace.hold(now.Add(draw(0, f.rules.ceiling(s.failures+1), random())))
	case d.action == move: // the redirect may lead back here: neither a failure nor a success
		return
	case d.action != retry:
		s.failures = 0
		return
	case d.failover:
		s.until = now.Add(draw(d.low, d.high, random()))
		f.stale = true
	default: // this client has to wait
		s.pace.hold(now.Add(draw(d.low, d.high, random())))
	}
	s.failures++
}

// heard updates what is known about a server from an answer that is not about a
// batch.
func (f *fleet) heard(s *server, a *answer, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pace.answered(a.header, now, random())
	if a.status == http.StatusTooManyRequests {
		d := f.rules.retry(a, 1, now, false, "")
		s.pace.hold(now.Add(draw(d.low, d.high, random())))
	}
}

// moved switches to the server that a redirect leads to.
func (f *fleet) moved(to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.ContainsFunc(f.servers, func(s *server) bool { return s.URL == to }) {
		f.servers = append(f.servers, &server{URL: to})
	}
	f.current = to
}

// inUse returns the address of the server in use.
func (f *fleet) inUse() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current
}

// toAsk returns the addresses to ask for the list of servers, or nil if it is
// too early to ask. The configured addresses come first, then those from the
// last list.
func (f *fleet) toAsk(configured []string, discover bool, now time.Time) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !discover || !f.stale || now.Sub(f.asked) < askAgain {
		return nil
	}
	f.asked = now
	addresses := slices.Clone(configured)
	for _, s := range f.servers {
		if !slices.Contains(addresses, s.URL) {
			addresses = append(addresses, s.URL)
		}
	}
	return addresses
}

// keep marks the list as good until the next failure.
func (f *fleet) keep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stale = false
}

// learned replaces the list of servers. A server that was listed before keeps
// its state: a request to it that is under way may still fail.
func (f *fleet) learned(servers []*server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range servers {
		at := slices.IndexFunc(f.servers, func(before *server) bool { return before.URL == s.URL })
		if at < 0 || slices.Contains(servers[:i], f.servers[at]) { // the list may name an address twice
			continue
		}
		before := f.servers[at]
		before.Name, before.Region, before.State = s.Name, s.Region, s.State
		servers[i] = before
	}
	f.servers, f.stale = servers, false
	// The server in use stays in use as long as it is listed with the wanted
	// name. Otherwise, a server is chosen again.
	i := slices.IndexFunc(servers, func(s *server) bool { return s.URL == f.current })
	if i < 0 || f.name != "" && servers[i].Name != f.name {
		f.current = ""
	}
}

// random returns a number in [0, 1).
func random() float64 { return rand.Float64() } //nolint:gosec // G404: to spread clients and delays out, no secret
