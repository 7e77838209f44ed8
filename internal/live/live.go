// Package live shows events as they become durable, refused commands as they are refused, and how many identifiers were left out,
// to those who watch. Its one idea:
// one goroutine reads the log's end once for all watchers, and each watcher has a bounded queue of its own, whose oldest entries
// are dropped and counted when it is full. So a watcher that is slow, or stuck, holds up neither those who write nor the others;
// and where nobody watches, nothing is read. It shows no event that a power cut could take back, keeps nothing on disk, and
// knows neither HTTP nor JSON.
package live

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/sleep"
)

// Log is the end of the log of events. Safe for concurrent use.
type Log interface {
	// Synced returns the sequence number up to which all events are on the disk.
	Synced() uint64

	// Await returns when there are events after seq that are on the disk, or with the cause once ctx has ended.
	Await(ctx context.Context, seq uint64) error

	// Tail calls yield for the events after seq that are on the disk, in order, until yield returns false. They may be kept.
	Tail(seq uint64, yield func(*trackway.Event) bool) error

	// Who returns who a customer is now, after merges, and his identifiers; 0 where there is no such customer.
	Who(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error)
}

// ErrEnded is what a watcher is told when nothing more will come: the server stops, or the log cannot be read.
var ErrEnded = errors.New("live: ended")

const (
	pause     = 10 * time.Millisecond // between two looks at the log: at most a hundred a second, whatever is written
	mostRead  = 512                   // events at a time
	mostBytes = 4 << 20               // of them, and of a watcher's queue
	lookBack  = 1000                  // events that are looked at for a watcher that comes (back)
	usualBack = 50                    // of which a new one is shown
	mostKept  = 1000                  // refused commands
)

// Hub knows the watchers. Safe for concurrent use.
type Hub struct {
	log    Log
	report func(error) // told why the log could not be read
	wanted chan struct{}
	noted  atomic.Uint64 // the second and how many refused commands were noted in it: see Room
	erased atomic.Uint64 // how often somebody was erased: what was read before is read again before it is shown

	// mu guards what follows. Nothing waits under it but for a watcher's own lock.
	mu         sync.Mutex
	watchers   map[*Watcher]struct{}
	following  bool   // the log is being read, or is about to be
	position   uint64 // the last event that was given out; meaningless unless following
	ended      bool
	rejected   []*Rejection               // the oldest first
	forgotten  map[uint32]trackway.Micros // when somebody was erased last, by project
	lastNumber uint64

	// leftMu guards what follows. Nothing waits under it.
	leftMu      sync.Mutex
	left        map[leftOutKey]*LeftOut
	leftVersion uint64 // grows with each count
}

// New returns a hub without watchers. The log is read only while [Hub.Run] runs; report is told of errors.
func New(log Log, report func(error)) *Hub {
	return &Hub{log: log, report: report, wanted: make(chan struct{}, 1), watchers: make(map[*Watcher]struct{}), forgotten: make(map[uint32]trackway.Micros)}
}

// Run gives out events until ctx ends, which ends all watchers. Where the log cannot be read its watchers are ended, and it goes
// on with those that come next.
func (h *Hub) Run(ctx context.Context) error {
	defer h.end(true)
	for {
		select {
		case <-h.wanted:
		case <-ctx.Done():
			return nil
		}
		if err := h.follow(ctx); err != nil && ctx.Err() == nil {
			h.report(err)
			h.end(false)
		}
	}
}

// end ends the watchers, and keeps new ones away if it is for good.
func (h *Hub) end(forGood bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.following, h.ended = false, forGood
	for w := range h.watchers {
		w.end()
	}
	clear(h.watchers)
}

// follow reads the log while anybody watches events.
func (h *Hub) follow(ctx context.Context) error {
	r := resolver{log: h.log}
	for {
		position, anybody := h.next()
		if !anybody {
			return nil
		}
		if err := h.log.Await(ctx, position); err != nil {
			return err
		}
		erased := h.erased.Load() // before they are read
		events, more, err := h.read(position)
		if err != nil {
			return err
		}
		for _, w := range h.pass(events) {
			if err := w.offer(events, erased, &r); err != nil {
				return err
			}
		}
		if !more {
			_ = sleep.For(ctx, pause) // if ctx has ended, Await says so
		}
	}
}

// next returns how far the log was given out, and whether anybody watches it.
func (h *Hub) next() (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if w.filter.Events {
			return h.position, true
		}
	}
	h.following = false
	return 0, false
}

// read reads some of what comes after a position, and tells whether there may be more.
func (h *Hub) read(position uint64) (events []*trackway.Event, more bool, err error) {
	bytes := 0
	err = h.log.Tail(position, func(e *trackway.Event) bool {
		events = append(events, e)
		bytes += len(e.Properties)
		more = len(events) == mostRead || bytes >= mostBytes
		return !more
	})
	return events, more, err
}

// pass notes that the events are given out, and returns to whom. Who begins to watch after that has them behind him.
func (h *Hub) pass(events []*trackway.Event) (to []*Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(events) > 0 {
		h.position = events[len(events)-1].Seq
	}
	for w := range h.watchers {
		if w.filter.Events {
			to = append(to, w)
		}
	}
	return to
}

// resolver finds who customers are now, and remembers it as long as nobody is merged.
type resolver struct {
	log   Log
	known map[trackway.Customer]trackway.Customer
}

const mostResolved = 4096

// see has the resolver notice a merge.
func (r *resolver) see(e *trackway.Event) {
	if e.Type == trackway.MergeType {
		clear(r.known)
	}
}

func (r *resolver) survivor(project uint32, c trackway.Customer) (trackway.Customer, error) {
	if s, ok := r.known[c]; ok {
		return s, nil
	}
	s, _, err := r.log.Who(project, c)
	if err != nil {
		return 0, err
	}
	if r.known == nil || len(r.known) >= mostResolved {
		r.known = make(map[trackway.Customer]trackway.Customer)
	}
	r.known[c] = s
	return s, nil
}
