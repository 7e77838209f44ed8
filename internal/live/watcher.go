package live

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/partition"
)

// Filter says what a watcher wants to see.
type Filter struct {
	Events   bool
	Rejected bool

	Project  uint32            // 0: all
	Types    []string          // of events; empty: all
	Customer trackway.Customer // of Project, with the customers merged into it; 0: all
}

// Mark is a position from which a watcher can resume.
type Mark struct {
	Seqs      []uint64 // the last event seen of each partition; a missing one is 0
	Rejection uint64   // number of the last refused command seen
}

// See notes that an event was seen. REQUIRES: m is the mark at which a watcher
// has begun, with what it has seen since.
func (m *Mark) See(e *trackway.Event) {
	switch len(m.Seqs) {
	case 0:
		m.Seqs = []uint64{e.Seq}
	case 1:
		m.Seqs[0] = e.Seq
	default:
		m.Seqs[partition.Of(e.Project)] = e.Seq
	}
}

// seq returns the last event seen of a partition.
func (m *Mark) seq(part int) uint64 {
	if part >= len(m.Seqs) {
		return 0
	}
	return m.Seqs[part]
}

// Item is one thing to show: either Event or Rejection is set. It is shared and
// must not be changed.
type Item struct {
	Event     *trackway.Event
	Rejection *Rejection

	erased uint64 // number of erasures when the event was read
}

// mostQueued limits the items that wait for a watcher.
const mostQueued = 1000

// Watcher receives what one client watches. Only one goroutine may call its
// methods, and it must call [Watcher.Close].
type Watcher struct {
	hub    *Hub
	filter Filter
	ids    []trackway.Identifier // of the watched customer; guarded by the hub's mu once the hub knows the watcher
	ready  chan struct{}         // holds one element when Take has something to return
	start  Mark

	mu      sync.Mutex // guards what follows
	back    []Item     // items from before the watching began; they come first
	queue   []Item
	bytes   int // of the queued events
	dropped uint64
	ended   bool
}

// Watch begins to watch. Without a mark, the watcher first receives the last
// few events and refused commands. With a mark, it receives what came after it,
// unless that is too long ago.
func (h *Hub) Watch(f Filter, after *Mark) (*Watcher, error) {
	w := &Watcher{hub: h, filter: f, ready: make(chan struct{}, 1)}
	if after != nil {
		w.start = *after
	}
	from, err := h.enter(w, after)
	if err != nil {
		return nil, err
	}
	var events []Item
	for _, l := range from {
		some, err := w.lookBack(l, after)
		if err != nil {
			w.Close()
			return nil, err
		}
		events = append(events, some...)
	}
	if len(h.logs) > 1 { // each log may have given as many as are shown
		slices.SortStableFunc(events, func(a, b Item) int { return int(a.received() - b.received()) })
		events = events[max(0, len(events)-most(after)):]
		w.begin(from, events)
	}
	w.putBack(events)
	return w, nil
}

// begin notes where the watcher begins in each log: before the events that it
// has found there, or at the end.
func (w *Watcher) begin(logs []from, back []Item) {
	w.start.Seqs = make([]uint64, len(w.hub.logs))
	for _, l := range logs {
		w.start.Seqs[l.log.part] = l.position
	}
	for _, it := range slices.Backward(back) {
		w.start.Seqs[partition.Of(it.Event.Project)] = it.Event.Seq - 1
	}
}

// Start returns the mark of a watcher that has not received anything yet. A
// watcher that came with a mark has seen what that says. With one partition,
// the first event says everything.
func (w *Watcher) Start() Mark {
	return Mark{Seqs: slices.Clone(w.start.Seqs), Rejection: w.start.Rejection}
}

// follows reports whether a watcher gets events of a log.
func (w *Watcher) follows(log *followed) bool {
	return w.filter.Events && (w.filter.Project == 0 || w.hub.of(w.filter.Project) == log)
}

// from is a log, and the change up to which a watcher must look back in it
// itself.
type from struct {
	log      *followed
	position uint64
}

// enter makes a watcher join with its customer's present identifiers. If an
// erasure happens after they were read, it reads them again.
func (h *Hub) enter(w *Watcher, after *Mark) (logs []from, err error) {
	for {
		erased := h.erased.Load()
		if w.filter.Customer != 0 {
			if _, w.ids, err = h.of(w.filter.Project).Current(w.filter.Project, w.filter.Customer); err != nil {
				return nil, err
			}
		}
		logs, joined, err := h.join(w, after, erased)
		if joined || err != nil {
			return logs, err
		}
	}
}

// putBack adds items from before the watching began, in order of receipt.
func (w *Watcher) putBack(items []Item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.back = append(items, w.back...)
	slices.SortStableFunc(w.back, func(a, b Item) int { return int(a.received() - b.received()) })
	if len(w.back) > 0 {
		w.wake()
	}
}

func (it Item) received() trackway.Micros {
	if it.Event != nil {
		return it.Event.Received
	}
	return it.Rejection.Received
}

// join adds a watcher, with the commands refused before, and returns where the
// watcher must look back itself. It does not add the watcher if
// there was an erasure since erased was read.
func (h *Hub) join(w *Watcher, after *Mark, erased uint64) (logs []from, joined bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return nil, false, ErrEnded
	}
	if h.erased.Load() != erased {
		return nil, false, nil
	}
	for _, log := range h.logs {
		if !w.follows(log) {
			continue
		}
		if !log.following {
			log.following, log.position = true, log.Synced()
			log.wanted <- struct{}{} // never blocks: Run has taken the element before
		}
		logs = append(logs, from{log, log.position})
	}
	h.watchers[w] = struct{}{}
	var rejected []Item
	for _, r := range h.rejected {
		if w.wantsRejection(r) && (after == nil || r.Number > after.Rejection) {
			rejected = append(rejected, Item{Rejection: r})
		}
	}
	if after == nil {
		rejected = rejected[max(0, len(rejected)-usualBack):]
	}
	w.putBack(rejected)
	return logs, true, nil
}

// most returns how many events are shown to a watcher that begins or returns.
func most(after *Mark) int {
	if after != nil {
		return mostBack
	}
	return usualBack
}

// lookBack reads the events up to a position that a watcher wants.
func (w *Watcher) lookBack(at from, after *Mark) (back []Item, err error) {
	seen, most := uint64(0), most(after)
	if after != nil {
		seen = after.seq(at.log.part)
	}
	r := resolver{log: at.log}
	var failed error
	looked, erased := 0, w.hub.erased.Load() // must be read before the events
	err = at.log.Back(at.position, func(e *trackway.Event) bool {
		if looked++; looked > lookBack || e.Seq <= seen {
			return false
		}
		var wanted bool
		if wanted, failed = w.wants(e, &r); wanted {
			own := *e
			own.Properties = bytes.Clone(e.Properties)
			back = append(back, Item{Event: &own, erased: erased})
		}
		return failed == nil && len(back) < most
	})
	slices.Reverse(back)
	return back, cmp.Or(failed, err)
}

// Close ends watching.
func (w *Watcher) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	delete(w.hub.watchers, w)
}

// Ready returns a channel that holds an element when [Watcher.Take] has
// something to return.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take returns the next items, at most most of them, and how many were dropped
// since the last call because the watcher was too slow. It does not wait. The
// items contain nothing that was erased before the call. The error is
// [ErrEnded] or that of the log.
func (w *Watcher) Take(most int) (items []Item, dropped uint64, err error) {
	if items, dropped, err = w.next(most); err == nil {
		items, err = w.hub.asNow(items)
	}
	return items, dropped, err
}

// asNow reads events again that were read before the last erasure, so that
// erased data is not shown. It leaves out erased events. If nothing was erased,
// it reads nothing.
func (h *Hub) asNow(items []Item) (kept []Item, err error) {
	erased := h.erased.Load()
	kept = items[:0]
	for _, it := range items {
		if it.Event != nil && it.erased != erased {
			if it.Event, err = h.again(it.Event); err != nil {
				return nil, err
			}
			if it.Event == nil {
				continue
			}
		}
		kept = append(kept, it)
	}
	return kept, nil
}

// again reads an event in its present form. It returns nil if the event is
// gone.
func (h *Hub) again(e *trackway.Event) (*trackway.Event, error) {
	for changes, err := range h.of(e.Project).Changes(e.Seq-1, e.Seq) {
		if err != nil {
			return nil, err
		}
		return changes[0].Event, nil
	}
	return nil, nil // the event is gone
}

// next takes items from the queue.
func (w *Watcher) next(most int) (items []Item, dropped uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := min(most, len(w.back)); n > 0 {
		items, w.back = w.back[:n:n], w.back[n:]
		w.wake() // there may be more
		return items, 0, nil
	}
	if w.ended {
		return nil, 0, ErrEnded
	}
	n := min(most, len(w.queue))
	items = slices.Clone(w.queue[:n])
	for i := range items {
		w.bytes -= items[i].size()
	}
	clear(w.queue[:n])
	w.queue = w.queue[n:]
	dropped, w.dropped = w.dropped, 0
	if len(w.queue) > 0 {
		w.wake()
	}
	return items, dropped, nil
}

// wake makes ready hold an element.
func (w *Watcher) wake() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *Watcher) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended, w.queue = true, nil
	w.wake()
}

// size estimates the memory that an item takes, in bytes.
func (it Item) size() int {
	const around = 256
	if it.Event == nil {
		return around
	}
	return around + len(it.Event.Properties)
}

// putLocked adds an item. If there is no room for it, it drops the oldest ones.
func (w *Watcher) putLocked(it Item) {
	w.queue = append(w.queue, it)
	w.bytes += it.size()
	for len(w.queue) > mostQueued || w.bytes > mostBytes && len(w.queue) > 1 {
		w.bytes -= w.queue[0].size()
		w.queue[0] = Item{}
		w.queue = w.queue[1:]
		w.dropped++
	}
}

// offer puts the events that the watcher wants into its queue. erased is the
// number of erasures when they were read.
func (w *Watcher) offer(changes []change.Change, erased uint64, r *resolver) error {
	wanted, err := w.choose(changes, erased, r)
	if err != nil || len(wanted) == 0 {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return nil
	}
	for _, it := range wanted {
		w.putLocked(it)
	}
	w.wake()
	return nil
}

// choose returns the events that the watcher wants.
func (w *Watcher) choose(changes []change.Change, erased uint64, r *resolver) (wanted []Item, err error) {
	for i := range changes {
		e := changes[i].Event
		if e == nil {
			continue
		}
		ok, err := w.wants(e, r)
		if err != nil {
			return nil, err
		}
		if ok {
			wanted = append(wanted, Item{Event: e, erased: erased})
		}
	}
	return wanted, nil
}

func (w *Watcher) wants(e *trackway.Event, r *resolver) (bool, error) {
	r.see(e)
	f := &w.filter
	switch {
	case f.Project != 0 && f.Project != e.Project, len(f.Types) > 0 && !slices.Contains(f.Types, e.Type):
		return false, nil
	case f.Customer == 0 || f.Customer == e.Customer:
		return true, nil
	}
	one, err := r.survivor(e.Project, e.Customer)
	if err != nil {
		return false, err
	}
	other, err := r.survivor(f.Project, f.Customer)
	return one == other, err
}
