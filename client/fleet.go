package client

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// askAgain is how long a list of servers is kept at least, however many of them fail: asking is under a limit, too.
const askAgain = 10 * time.Second

// server is one tracking server as this client knows it.
type server struct {
	URL    string `json:"url"`
	Name   string `json:"name"`
	Region string `json:"region"`
	State  string `json:"state"` // as it was told; empty is up

	until    time.Time // left alone until then, after a failure
	failures int       // in a row
	pace     pacer
}

// rank orders the states: it is better to use a server that is said to be down than none.
func (s *server) rank() int {
	switch s.State {
	case "", "up":
		return 0
	case "service":
		return 1
	}
	return 2
}

// wanted is what the options say about which server to use.
type wanted struct{ name, region string }

// choose returns the servers that one may be drawn from, and how long to wait before it is asked. The current one is kept as
// long as it may be asked: a client that went back to the first would meet its next failure, too, and servers that do not share
// their data each know only their own duplicates.
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

// readServers reads an answer of /api/servers at an address. There is always one server: that which was asked.
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

// fleet is the servers of one client, and the one in use. Safe for concurrent use.
type fleet struct {
	wanted

	rules rules

	mu      sync.Mutex // guards what follows; nothing is asked under it
	servers []*server
	current string // URL; empty at first
	asked   time.Time
	stale   bool // the list is worth asking for
}

func newFleet(o *Options) *fleet {
	f := &fleet{wanted: wanted{o.Name, o.Region}, rules: rules{o.MaxDelay}, stale: o.Discover}
	for _, u := range o.URLs {
		f.servers = append(f.servers, &server{URL: u})
	}
	return f
}

// next returns the server to ask, and how long to wait before. After a wait it has to be asked for again.
func (f *fleet) next(now time.Time) (*server, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, wait := f.choose(f.servers, f.current, now)
	if wait > 0 {
		f.stale = f.stale || len(from) == 0 // nobody has the name that is wanted: the list may be out of date
		return nil, wait
	}
	s := from[rand.IntN(len(from))] //nolint:gosec // G404: to spread clients out, no secret
	if s.URL != f.current {
		if f.current != "" { // not all clients of a server that failed come to the next at once
			s.pace.hold(now.Add(draw(0, firstDelay, random())))
		}
		f.current = s.URL
	}
	if wait := s.pace.until.Sub(now); wait > 0 {
		return nil, wait
	}
	return s, 0
}

// sent notes that a server is being asked.
func (f *fleet) sent(s *server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pace.calls++
}

// decide returns what an answer of a server means for a batch, and draws the conclusions for the server.
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
	case d.action == move: // it may lead back here: no failure, but no success either
		return
	case d.action != retry:
		s.failures = 0
		return
	case d.failover:
		s.until = now.Add(draw(d.low, d.high, random()))
		f.stale = true
	default: // it is this client that has to wait
		s.pace.hold(now.Add(draw(d.low, d.high, random())))
	}
	s.failures++
}

// heard takes notice of an answer that is no batch's.
func (f *fleet) heard(s *server, a *answer, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.pace.answered(a.header, now, random())
	if a.status == http.StatusTooManyRequests {
		d := f.rules.retry(a, 1, now, false, "")
		s.pace.hold(now.Add(draw(d.low, d.high, random())))
	}
}

// moved makes the server that a redirect leads to the one in use.
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

// toAsk returns the addresses at which to ask for the list of servers, none if it is not time to: the configured ones first,
// and if they do not answer, those that were told of.
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

// keep leaves the list as it is until the next failure.
func (f *fleet) keep() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stale = false
}

// learned replaces the servers. Those that stay are the same ones still: a request that is under way may fail yet.
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
	// A server that is in use stays so; with a name or region that it was not known to have, the choice is made anew.
	i := slices.IndexFunc(servers, func(s *server) bool { return s.URL == f.current })
	if i < 0 || f.name != "" && servers[i].Name != f.name {
		f.current = ""
	}
}

// random returns a number in [0, 1).
func random() float64 { return rand.Float64() } //nolint:gosec // G404: to spread clients and delays out, no secret
