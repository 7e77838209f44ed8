// Package live shows watchers what happens: events as they become durable,
// commands as they are refused, and how many identifiers were left out. One
// goroutine for each partition reads the end of its log for all watchers. Each
// watcher has a bounded queue of its own; when it is full, the oldest entries
// are dropped and counted. So a slow or stuck watcher delays neither writers
// nor other watchers, and nothing is read while nobody watches. The package
// shows no event that a power cut could take back. It keeps nothing on disk,
// and knows neither HTTP nor JSON.
package live

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/partition"
)

// Log is the log of all changes, with the events among them. It is safe for
// concurrent use.
type Log interface {
	// Synced returns the number up to which all changes are on the disk.
	Synced() uint64

	// Follow iterates over the durable changes after a number, in order and in
	// batches, and waits for more until ctx ends. The caller may keep them. An
	// error ends the iteration; a change that cannot be read does not.
	Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error]

	// Changes is like Follow, but returns only the changes up to a number, and
	// does not wait.
	Changes(after, through uint64) iter.Seq2[[]change.Change, error]

	// Back calls do for the durable events up to a number, newest first, until
	// do returns false. The event is valid only during the call.
	Back(through uint64, do func(*trackway.Event) bool) error

	// Current returns the present customer behind c, after merges, with
	// its identifiers. It returns 0 if there is no such customer.
	Current(project uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error)
}

// ErrEnded tells a watcher that nothing more will come: the server is stopping,
// or the log cannot be read.
var ErrEnded = errors.New("live: ended")

const (
	mostBytes = 4 << 20 // of events in a watcher's queue
	lookBack  = 4000    // events to search for a watcher that begins or returns
	mostBack  = 1000    // of these, the most to show
	usualBack = 50      // the most to show to a new watcher
	mostKept  = 1000    // refused commands
)

// Hub distributes events to the watchers. It is safe for concurrent use.
type Hub struct {
	logs   []*followed
	report func(error)   // receives errors in reading the logs
	noted  atomic.Uint64 // a second, and how many refused commands were noted in it: see Room
	erased atomic.Uint64 // number of erasures so far: events read before one are read again before they are shown

	// mu guards what follows. While it is held, nothing may wait for anything
	// except a watcher's own lock.
	mu         sync.Mutex
	watchers   map[*Watcher]struct{}
	ended      bool
	rejected   []*Rejection               // oldest first
	forgotten  map[uint32]trackway.Micros // time of the last erasure, by project
	lastNumber uint64

	// leftMu guards what follows. Nothing may wait while it is held.
	leftMu      sync.Mutex
	left        map[leftOutKey]*LeftOut
	leftVersion uint64 // grows with each count
}

// followed is the log of a partition. The hub's mu guards following and
// position.
type followed struct {
	Log

	part      int
	wanted    chan struct{}
	following bool   // the log is being read, or will be soon
	position  uint64 // of the last distributed change; meaningless unless following
}

// New returns a hub without watchers, for the logs of all partitions in their
// order. It reads them only while [Hub.Run] is running. It calls report with
// errors.
func New(report func(error), logs ...Log) *Hub {
	h := &Hub{report: report, watchers: make(map[*Watcher]struct{}), forgotten: make(map[uint32]trackway.Micros)}
	for part, log := range logs {
		h.logs = append(h.logs, &followed{Log: log, part: part, wanted: make(chan struct{}, 1)})
	}
	return h
}

// of returns the log that has a project.
func (h *Hub) of(project uint32) *followed {
	if part := partition.Of(project); len(h.logs) > 1 && part < len(h.logs) {
		return h.logs[part]
	}
	return h.logs[0]
}

// Run distributes events until ctx ends, which ends all watchers. If the log
// cannot be read, Run ends the present watchers and continues with those that
// come later.
func (h *Hub) Run(ctx context.Context) error {
	defer h.end()
	var all sync.WaitGroup
	for _, log := range h.logs {
		all.Go(func() { h.run(ctx, log) })
	}
	all.Wait()
	return nil
}

// run distributes the events of one log.
func (h *Hub) run(ctx context.Context, log *followed) {
	for {
		select {
		case <-log.wanted:
		case <-ctx.Done():
			return
		}
		if err := h.follow(ctx, log); err != nil && ctx.Err() == nil {
			h.report(err)
			h.broken(log)
		}
	}
}

// broken ends the watchers of a log that cannot be read.
func (h *Hub) broken(log *followed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	log.following = false
	for w := range h.watchers {
		if w.follows(log) || !w.filter.Events {
			w.end()
			delete(h.watchers, w)
		}
	}
}

// end ends all watchers for good.
func (h *Hub) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	for w := range h.watchers {
		w.end()
	}
	clear(h.watchers)
}

// follow distributes events as long as anybody watches.
func (h *Hub) follow(ctx context.Context, log *followed) error {
	r := resolver{log: log}
	for ctx.Err() == nil {
		position, anybody := h.next(log)
		if !anybody {
			return nil
		}
		if err := h.followFrom(ctx, log, position, &r); err != nil {
			return err
		}
	}
	return nil
}

// followFrom distributes the changes after a position until nobody watches. It
// also returns after an erasure: what was read before must be read again.
func (h *Hub) followFrom(ctx context.Context, log *followed, position uint64, r *resolver) error {
	erased := h.erased.Load() // must come before reading
	for changes, err := range log.Follow(ctx, position) {
		if err != nil {
			return err
		}
		if h.erased.Load() != erased {
			return nil
		}
		watchers := h.pass(log, changes)
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

// next returns the number of the change up to which a log was distributed, and
// whether anybody watches.
func (h *Hub) next(log *followed) (uint64, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if w.follows(log) {
			return log.position, true
		}
	}
	log.following = false
	return 0, false
}

// pass notes that these changes have been distributed, and returns the watchers
// that receive them. A watcher that joins later finds them when it looks back.
func (h *Hub) pass(log *followed, changes []change.Change) (to []*Watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	log.position = changes[len(changes)-1].Number
	for w := range h.watchers {
		if w.follows(log) {
			to = append(to, w)
		}
	}
	return to
}

// resolver finds the present customer of an event. It caches the answers until
// customers are merged.
type resolver struct {
	log   Log
	known map[trackway.Customer]trackway.Customer
}

const mostResolved = 4096

// see makes the resolver notice a merge.
func (r *resolver) see(e *trackway.Event) {
	if e.Type == trackway.MergeType {
		clear(r.known)
	}
}

func (r *resolver) survivor(project uint32, c trackway.Customer) (trackway.Customer, error) {
	if s, ok := r.known[c]; ok {
		return s, nil
	}
	s, _, err := r.log.Current(project, c)
	if err != nil {
		return 0, err
	}
	if r.known == nil || len(r.known) >= mostResolved {
		r.known = make(map[trackway.Customer]trackway.Customer)
	}
	r.known[c] = s
	return s, nil
}
