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
	"iter"
	"sync"
	"sync/atomic"

	"trackway"
	"trackway/internal/change"
)

// Log is the log of events, with the other changes among them. Safe for
// concurrent use.
type Log interface {
	// Synced returns the number up to which all changes are on the disk.
	Synced() uint64

	// Follow iterates over the changes after a number that are on the disk, in
	// order and some at a time, and waits for more until ctx ends. They may be
	// kept. An error ends it; a change that cannot be read does not.
	Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error]

	// Changes is Follow for the changes up to a number, without waiting.
	Changes(after, through uint64) iter.Seq2[[]change.Change, error]

	// Back calls do for the events up to a number that are on the disk, the
	// newest first, until do returns false. The event is valid only during the
	// call.
	Back(through uint64, do func(*trackway.Event) bool) error

	// Who returns who a customer is now, after merges, with its identifiers; 0 if
	// there is no such customer.
	Who(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error)
}

// ErrEnded is what a watcher is told when nothing more will come: the server stops, or the log cannot be read.
var ErrEnded = errors.New("live: ended")

const (
	mostBytes = 4 << 20 // of events in a watcher's queue
	lookBack  = 4000    // events that are looked at for a watcher that comes (back)
	mostBack  = 1000    // events of these that it is shown
	usualBack = 50      // if it is new
	mostKept  = 1000    // refused commands
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
	position   uint64 // of the last change that was given out; meaningless unless following
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

// follow gives out events while anybody watches them.
func (h *Hub) follow(ctx context.Context) error {
	r := resolver{log: h.log}
	for ctx.Err() == nil {
		position, anybody := h.next()
		if !anybody {
			return nil
		}
		if err := h.followFrom(ctx, position, &r); err != nil {
			return err
		}
	}
	return nil
}

// followFrom gives out what comes after a position until nobody watches. It also
// ends when somebody was erased: what was read before is read again.
func (h *Hub) followFrom(ctx context.Context, position uint64, r *resolver) error {
	erased := h.erased.Load() // before anything is read
	for changes, err := range h.log.Follow(ctx, position) {
		if err != nil {
			return err
		}
		if h.erased.Load() != erased {
			return nil
		}
		watchers := h.pass(changes)
		if len(watchers) == 0 {
			return nil
		}
		for _, w := range watchers {
			if err := w.offer(changes, erased, r); err != nil {
				return err
			}
		}
	}
	return nil
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

// pass notes that the changes are given out, and returns to whom. A watcher that
// comes after that has them behind it.
func (h *Hub) pass(changes []change.Change) (to []*Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.position = changes[len(changes)-1].Number
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
