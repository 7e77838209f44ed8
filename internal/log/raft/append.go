package raft

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"trackway"
	"trackway/internal/entry"
)

// Bounds of entries.
const (
	maxCommands = 1024      // of a group of requests
	maxBytes    = 256 << 10 // of a group; one request alone may have more
	maxRequest  = 4 << 20   // of a request; what it has more of goes into another entry
	maxEntry    = 8 << 20   // of any entry

	maxFlights = 4  // groups of this server that are under way
	maxOthers  = 16 // other entries of this server that are under way
)

// Append has the servers agree on an entry, and applies it. Then the entry is
// on the disks of most of them and holds its results. This server may apply
// commands a little later than the leader: see [Log.Reach]. All other entries
// are applied here, too.
//
// If it is not known what became of the entry, Append sends it again, and it
// takes effect once. An error is [ErrUnavailable], [ErrUnknown],
// [ErrTooLarge], [ErrClosed], or says why this server cannot go on. ctx may
// keep an entry from being sent; an entry that was sent is not abandoned.
func (l *Log) Append(ctx context.Context, e entry.Entry) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	end, ok := l.begin()
	if !ok {
		return ErrClosed
	}
	defer end()
	if why := l.Unfit(); why != nil {
		return why
	}
	if c, ok := e.(*entry.Commands); ok {
		return l.commands(c) //nolint:contextcheck // what was sent is not abandoned
	}
	l.singles <- struct{}{}
	defer func() { <-l.singles }()
	index, err := l.send(e) //nolint:contextcheck // what was sent is not abandoned
	if err == nil && !l.progress.await(index, l.failed, l.closing) {
		return ErrUnknown
	}
	return err
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

// commands appends requests together with others.
func (l *Log) commands(c *entry.Commands) error {
	if len(c.Requests) == 0 {
		return nil
	}
	for i := range c.Requests {
		shorten(&c.Requests[i])
	}
	g, place := l.gathering.join(c.Requests)
	if place == 0 {
		l.lead(g)
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

// lead sends a group, once fewer groups are under way. Meanwhile, others join
// it. Requests that the machine has not reached go into another entry.
func (l *Log) lead(g *group) {
	g.err = ErrUnknown // until it is known, whatever ends this goroutine
	defer close(g.done)
	runtime.Gosched() // requests that are ready to join need a processor to do so
	l.flights <- struct{}{}
	defer func() { <-l.flights }()
	l.gathering.close(g)
	for rest := g.requests; len(rest) > 0; {
		if _, err := l.send(&entry.Commands{Requests: rest}); err != nil {
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

// send has an entry applied, and puts its results into it. It returns the index
// of the entry.
func (l *Log) send(e entry.Entry) (index uint64, err error) {
	b := entry.Append(nil, &entry.Once{Origin: l.origin, Counter: l.nextCounter(), Entry: e})
	if len(b) > maxEntry {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(b), maxEntry)
	}
	answer, err := l.deliver(b)
	if err != nil {
		return 0, err
	}
	if len(answer) < indexBytes {
		return 0, ErrUnknown
	}
	index = binary.BigEndian.Uint64(answer)
	if err := entry.DecodeResults(answer[indexBytes:], e); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	for {
		known := l.acknowledged.Load()
		if known >= index || l.acknowledged.CompareAndSwap(known, index) {
			return index, nil
		}
	}
}

// indexBytes is the size of an entry's index, with which the results of the
// outcome done begin.
const indexBytes = 8

// outcome is what became of an attempt to have an entry applied.
type outcome byte

// The outcomes, as servers tell each other. None of them is 0.
const (
	done    outcome = iota + 1 // it is applied, and there are results
	refused                    // it is not in the log: this server is not the leader
	unknown                    // it may or may not be in the log
	late                       // it was there before, or never will be: newer ones have displaced it
	foreign                    // it is not in the log: the leader cannot read it
)

// errForeign is the reason for an entry that is [foreign].
var errForeign = fmt.Errorf("%w: the leader does not understand the entry; perhaps its program is older than this one", ErrUnavailable)

// deliver gets an encoded entry to the leader, and returns its results. It
// tries for as long as an election may take. If it does not learn what became
// of the entry, it sends the same bytes again, which take effect once.
func (l *Log) deliver(b []byte) ([]byte, error) {
	end := time.NewTimer(l.patience())
	defer end.Stop()
	unanswered := false
	for {
		changed := l.leaders.next()
		outcome, results := l.attempt(b, changed)
		switch outcome {
		case done:
			return results, nil
		case late:
			return nil, ErrUnknown
		case foreign:
			return nil, errForeign
		case unknown:
			unanswered = true
		}
		if err := l.await(changed, end.C); err != nil {
			if unanswered && !errors.Is(err, l.broken()) {
				err = ErrUnknown
			}
			return nil, err
		}
	}
}

// await waits until another attempt may succeed: after a change of leaders, or
// a moment, since a leader may be busy. It returns an error if there is no time
// for it.
func (l *Log) await(changed <-chan struct{}, end <-chan time.Time) error {
	const moment = 20 * time.Millisecond
	again := time.NewTimer(moment)
	defer again.Stop()
	select {
	case <-changed:
	case <-again.C:
	case <-end:
		return ErrUnavailable
	case <-l.closing:
		return ErrClosed
	case <-l.failed:
	}
	err := l.broken()
	if errors.Is(err, ErrRestart) {
		return ErrUnavailable // another server can take it, or this one when it was opened again
	}
	return err
}

// attempt gives an entry to the server that is the leader now. It gives up when
// changed is closed, because no answer comes from a leader that was cut off.
func (l *Log) attempt(b []byte, changed <-chan struct{}) (outcome, []byte) {
	address, id := l.raft.LeaderWithID()
	switch {
	case l.broken() != nil || address == "":
		return refused, nil
	case string(id) == l.ID():
		return l.apply(b)
	default:
		return l.forwarder.send(string(address), b, time.Now().Add(l.patience()), changed)
	}
}

// apply puts an entry into the log, if this server is the leader, and waits
// until it is applied.
func (l *Log) apply(b []byte) (outcome, []byte) {
	future := l.raft.Apply(b, l.o.Heartbeat)
	answered := make(chan error, 1)
	go func() { answered <- future.Error() }()
	var err error
	end := time.NewTimer(l.patience())
	defer end.Stop()
	select {
	case err = <-answered:
	case <-l.failed:
		return unknown, nil // the library may never answer
	case <-end.C:
		return unknown, nil // most servers take no entries, and yet answer the leader
	}
	switch {
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrEnqueueTimeout), errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return refused, nil
	case err != nil:
		return unknown, nil
	}
	a, ok := future.Response().(applied)
	switch {
	case !ok, a.err != nil, a.once == nil:
		return unknown, nil
	case a.once.Late:
		return late, nil
	}
	return done, entry.AppendResults(binary.BigEndian.AppendUint64(nil, future.Index()), a.once.Entry)
}
