// Package group puts requests that arrive at about the same time into one entry
// of a log that several servers share.
package group

import (
	"cmp"
	"errors"
	"runtime"
	"sync"

	"trackway"
	"trackway/internal/entry"
)

// Bounds of entries.
const (
	maxCommands = 1024      // of a group of requests
	maxBytes    = 256 << 10 // of a group; one request alone may have more
	maxRequest  = 4 << 20   // of a request; what it has more of goes into another entry

	MaxEntry   = 8 << 20 // of any entry
	MaxFlights = 4       // groups of this server that are under way
)

// Groups gathers the requests of one server. It is safe for concurrent use.
type Groups struct {
	send    func(*entry.Commands) error
	unknown error

	gathering gathering
	flights   chan struct{} // holds a value for each group under way
}

// New returns groups that are sent by send, which has an entry applied and
// writes its results into it. unknown is the error of requests of which nobody
// knows whether they are stored.
func New(send func(*entry.Commands) error, unknown error) *Groups {
	return &Groups{send: send, unknown: unknown, flights: make(chan struct{}, MaxFlights)}
}

// Append has requests applied, together with others.
func (gs *Groups) Append(c *entry.Commands) error {
	if len(c.Requests) == 0 {
		return nil
	}
	for i := range c.Requests {
		shorten(&c.Requests[i])
	}
	g, place := gs.gathering.join(c.Requests)
	if place == 0 {
		gs.lead(g)
	} else {
		<-g.done
	}
	copy(c.Requests, g.requests[place:])
	err := g.err
	for i := range c.Requests {
		err = cmp.Or(err, c.Requests[i].Err)
	}
	return err
}

// lead sends a group, once fewer groups are under way. Meanwhile, others join
// it. Requests that the machine has not reached go into another entry.
func (gs *Groups) lead(g *group) {
	g.err = gs.unknown // until it is known, whatever ends this goroutine
	defer close(g.done)
	runtime.Gosched() // requests that are ready to join need a processor to do so
	gs.flights <- struct{}{}
	defer func() { <-gs.flights }()
	gs.gathering.close(g)
	for rest := g.requests; len(rest) > 0; {
		if err := gs.send(&entry.Commands{Requests: rest}); err != nil {
			for i := range rest { // those before are stored
				rest[i].Err = err
			}
			break
		}
		reached := 0
		for reached < len(rest) && rest[reached].Reached() {
			reached++
		}
		if reached == 0 {
			g.err = errors.New("bug: the machine has carried out nothing")
			return
		}
		rest = rest[reached:]
	}
	g.err = nil
}

// group is the requests that are sent as one entry.
type group struct {
	requests []entry.Request
	commands int
	bytes    int
	done     chan struct{} // closed when err and all results are there
	err      error         // of all
}

// gathering puts requests into groups.
type gathering struct {
	mu  sync.Mutex
	now *group // takes requests in; nil: none is open
}

// join adds requests to the open group. It returns the place of the first of
// them in it. The caller with place 0 has to send the group.
func (g *gathering) join(requests []entry.Request) (joined *group, place int) {
	commands, bytes := 0, 0
	for i := range requests {
		commands += len(requests[i].Commands)
		bytes += size(&requests[i])
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == nil || g.now.commands+commands > maxCommands || g.now.bytes+bytes > maxBytes {
		g.now = &group{done: make(chan struct{})}
	}
	place = len(g.now.requests)
	g.now.requests = append(g.now.requests, requests...)
	g.now.commands += commands
	g.now.bytes += bytes
	return g.now, place
}

// close lets nobody join gr any more.
func (g *gathering) close(gr *group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.now == gr {
		g.now = nil
	}
}

// Upper bounds of encoded numbers, and of the fields of a command that have a
// fixed size.
const (
	numberBytes = 10
	fixedBytes  = 64
)

// size returns an upper bound of the bytes of an encoded request.
func size(q *entry.Request) int {
	n := numberBytes
	for i := range q.Commands {
		n += sizeOf(&q.Commands[i])
	}
	return n
}

// sizeOf returns an upper bound of the bytes of an encoded command.
func sizeOf(c *trackway.Command) int {
	n := fixedBytes + len(c.Type)
	for _, id := range c.IDs {
		n += numberBytes + len(id.Name) + len(id.Value)
	}
	if id := c.Unheld; id != nil {
		n += numberBytes + len(id.Name) + len(id.Value)
	}
	for _, p := range c.Properties {
		n += numberBytes + len(p.Name) + len(p.Value)
	}
	return n
}

// shorten leaves out the last commands of a request that is too large for one
// entry. Its appender sees in Done that they were not carried out.
func shorten(q *entry.Request) {
	bytes := 0
	for i := range q.Commands {
		bytes += sizeOf(&q.Commands[i])
		if i == 0 || bytes <= maxRequest {
			continue
		}
		q.Commands, q.Results = q.Commands[:i], q.Results[:i]
		if q.Contents != nil {
			q.Contents = q.Contents[:i]
		}
		return
	}
}
