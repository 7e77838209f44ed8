package live

import (
	"bytes"
	"cmp"
	"slices"
	"sync"

	"trackway"
	"trackway/internal/change"
)

// Filter says what a watcher wants to see.
type Filter struct {
	Events   bool
	Rejected bool

	Project  uint32            // 0: all
	Types    []string          // of events; empty: all
	Customer trackway.Customer // of Project, with all that were merged into it; 0: all
}

// Mark is a place in what is shown, for coming back to it.
type Mark struct {
	Seq       uint64 // the last event that was seen
	Rejection uint64 // the number of the last refused command that was seen
}

// Item is one thing that is shown: exactly one of both is there. It is shared and must not be changed.
type Item struct {
	Event     *trackway.Event
	Rejection *Rejection

	erased uint64 // how often somebody had been erased when the event was read
}

// mostQueued is how many items wait for a watcher.
const mostQueued = 1000

// Watcher is one who watches. Its methods are for one goroutine, which must [Watcher.Close] it.
type Watcher struct {
	hub    *Hub
	filter Filter
	ids    []trackway.Identifier // of the customer, if it watches one; guarded by the hub's mu once the hub knows the watcher
	ready  chan struct{}         // holds one element when Take has something to tell

	mu      sync.Mutex // guards what follows
	back    []Item     // what was there before; it comes first
	queue   []Item
	bytes   int // of the events in it
	dropped uint64
	ended   bool
}

// Watch begins to watch. Without a mark the watcher is shown the last few events and refused commands first, with one
// what came after it, as far as that is not too long ago.
func (h *Hub) Watch(f Filter, after *Mark) (*Watcher, error) {
	w := &Watcher{hub: h, filter: f, ready: make(chan struct{}, 1)}
	position, err := h.enter(w, after)
	if err != nil {
		return nil, err
	}
	if f.Events {
		events, err := w.lookBack(position, after)
		if err != nil {
			w.Close()
			return nil, err
		}
		w.putBack(events)
	}
	return w, nil
}

// enter has a watcher join, with the identifiers that its customer has then: if
// somebody is erased after they were read, they are read again.
func (h *Hub) enter(w *Watcher, after *Mark) (position uint64, err error) {
	for {
		erased := h.erased.Load()
		if w.filter.Customer != 0 {
			if _, w.ids, err = h.log.Who(w.filter.Project, w.filter.Customer); err != nil {
				return 0, err
			}
		}
		position, joined, err := h.join(w, after, erased)
		if joined || err != nil {
			return position, err
		}
	}
}

// putBack adds to what was there before, in order of receipt.
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

// join adds a watcher, with what was refused before, and returns up to which event it has to look back itself. It does not if
// somebody was erased since erased was read.
func (h *Hub) join(w *Watcher, after *Mark, erased uint64) (position uint64, joined bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return 0, false, ErrEnded
	}
	if h.erased.Load() != erased {
		return 0, false, nil
	}
	if w.filter.Events && !h.following {
		h.following, h.position = true, h.log.Synced()
		h.wanted <- struct{}{} // there is room: whoever put the last one in was followed
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
	return h.position, true, nil
}

// lookBack reads what a watcher wants of the events up to a position.
func (w *Watcher) lookBack(position uint64, after *Mark) (back []Item, err error) {
	seen, most := uint64(0), usualBack
	if after != nil {
		seen, most = after.Seq, mostBack
	}
	r := resolver{log: w.hub.log}
	var failed error
	looked, erased := 0, w.hub.erased.Load() // before they are read
	err = w.hub.log.Back(position, func(e *trackway.Event) bool {
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

// Ready returns a channel that holds an element when [Watcher.Take] has something to tell.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take returns the next items, most at most, and how many were dropped since it was asked last because they were not taken in
// time. It does not wait. Nothing is in them that was erased before the call. The error is [ErrEnded], or the log's.
func (w *Watcher) Take(most int) (items []Item, dropped uint64, err error) {
	if items, dropped, err = w.next(most); err == nil {
		items, err = w.hub.asNow(items)
	}
	return items, dropped, err
}

// asNow reads those events again that were read before somebody was erased: what is gone of them must not be shown, and those that are
// gone are left out. Where nobody is erased it reads nothing.
func (h *Hub) asNow(items []Item) (kept []Item, err error) {
	erased := h.erased.Load()
	kept = items[:0]
	for _, it := range items {
		if it.Event != nil && it.erased != erased {
			if it.Event, err = h.again(it.Event.Seq); err != nil {
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

// again reads an event as it is now, nil if it is gone.
func (h *Hub) again(seq uint64) (*trackway.Event, error) {
	for changes, err := range h.log.Changes(seq-1, seq) {
		if err != nil {
			return nil, err
		}
		return changes[0].Event, nil
	}
	return nil, nil //nolint:nilnil // it is gone
}

// next takes items out of the queue.
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

// size is about how many bytes of memory an item takes.
func (it Item) size() int {
	const around = 256
	if it.Event == nil {
		return around
	}
	return around + len(it.Event.Properties)
}

// putLocked adds an item; where there is no room the oldest go.
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

// offer puts those of the events that the watcher wants into its queue. erased is
// how often somebody had been erased when they were read.
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

// choose returns those of the events that the watcher wants.
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
