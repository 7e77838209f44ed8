package live

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/excerpt"
)

// Rejection is a command that was refused, and why. It is kept in memory only, for a while: it tells who did not get in.
type Rejection struct {
	Number   uint64 // grows from one to the next, also over a restart; [Hub.Reject] gives it
	Project  uint32 // 0: none that is known
	Received trackway.Micros
	Command  string // its name; empty where it has none
	Type     string // of the event; may be empty
	IDs      []trackway.Identifier
	Field    string // that is at fault; may be empty
	Reason   string
	Address  netip.Addr
}

// Bounds of what is kept of refused commands, so that a flood of them costs little memory and no time.
const (
	mostASecond = 100 // that are noted
	mostIDs     = 8   // of one
	longest     = 256 // bytes of a text
	countBits   = 32  // of Hub.noted
)

// Room tells whether a command that is refused now will be noted: of many in a second only the first are. It costs an atomic
// operation, so that a [Rejection] need not be made for nothing. REQUIRES: Reject is called where it says yes.
func (h *Hub) Room(now time.Time) bool {
	second := uint64(now.Unix())
	for {
		old := h.noted.Load()
		next := old + 1
		if old>>countBits != second&(1<<countBits-1) {
			next = second<<countBits | 1
		} else if old&(1<<countBits-1) >= mostASecond {
			return false
		}
		if h.noted.CompareAndSwap(old, next) {
			return true
		}
	}
}

// Reject notes a refused command and shows it. Its texts are copied: they may be parts of a request's body.
func (h *Hub) Reject(from *Rejection) {
	r := *from
	for _, text := range []*string{&r.Command, &r.Type, &r.Field, &r.Reason} {
		*text = own(*text)
	}
	r.IDs = make([]trackway.Identifier, min(len(from.IDs), mostIDs))
	for i := range r.IDs {
		r.IDs[i] = trackway.Identifier{Name: own(from.IDs[i].Name), Value: own(from.IDs[i].Value), Hard: from.IDs[i].Hard}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cameBeforeErasure(&r) {
		return
	}
	h.lastNumber = max(h.lastNumber+1, uint64(r.Received))
	r.Number = h.lastNumber
	if len(h.rejected) >= mostKept {
		h.rejected[0] = nil
		h.rejected = h.rejected[1:]
	}
	h.rejected = append(h.rejected, &r)
	for w := range h.watchers {
		if w.wantsRejection(&r) {
			w.reject(&r)
		}
	}
}

// longestCall is how long a command may be on its way from its receipt to being
// noted as refused.
const longestCall = trackway.Micros(2 * time.Minute / time.Microsecond)

// cameBeforeErasure tells whether a command with identifiers came before the
// last erasure in its project was done: Forget has not seen it, and whose
// identifiers were erased is not known any more. A clock that was set back far
// is no reason to note nothing for long.
func (h *Hub) cameBeforeErasure(r *Rejection) bool {
	done := h.forgotten[r.Project]
	return done != 0 && len(r.IDs) > 0 && r.Received <= done && r.Received > done-longestCall
}

// own returns a copy of a text, cut at a character's end where it is long.
func own(text string) string { return strings.Clone(excerpt.Of(text, longest)) }

// Forget forgets a customer who was erased from the log, and had these identifiers. Refused commands of the project that name one of
// them are gone, also those that wait for a watcher, and those that came before now and are noted later; events that wait are read
// again before they are shown. Who watches the customer does not know it by them any more.
func (h *Hub) Forget(project uint32, ids []trackway.Identifier, now time.Time) {
	h.erased.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten[project] = trackway.MicrosOf(now)
	forgotten := func(r *Rejection) bool { return r != nil && r.Project == project && share(r.IDs, ids) }
	h.rejected = slices.DeleteFunc(h.rejected, forgotten)
	for w := range h.watchers {
		w.forget(forgotten)
		if w.filter.Project == project {
			w.ids = slices.DeleteFunc(w.ids, func(id trackway.Identifier) bool { return share([]trackway.Identifier{id}, ids) })
		}
	}
}

func (w *Watcher) forget(forgotten func(*Rejection) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.back = slices.DeleteFunc(w.back, func(it Item) bool { return forgotten(it.Rejection) })
	w.queue = slices.DeleteFunc(w.queue, func(it Item) bool {
		gone := forgotten(it.Rejection)
		if gone {
			w.bytes -= it.size()
		}
		return gone
	})
}

// share tells whether two lists have an identifier in common. Those of a refused
// command are as they were sent: white space around them means nothing.
func share(a, b []trackway.Identifier) bool {
	return slices.ContainsFunc(a, func(id trackway.Identifier) bool {
		return slices.ContainsFunc(b, func(other trackway.Identifier) bool {
			return id.Name == other.Name && strings.TrimSpace(id.Value) == strings.TrimSpace(other.Value)
		})
	})
}

// wantsRejection tells whether a watcher wants to see a refused command: of a customer, one that names an identifier which was
// the customer's when the watching began.
func (w *Watcher) wantsRejection(r *Rejection) bool {
	f := &w.filter
	return f.Rejected && (f.Project == 0 || f.Project == r.Project) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, r.Type)) && (f.Customer == 0 || share(w.ids, r.IDs))
}

func (w *Watcher) reject(r *Rejection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.putLocked(Item{Rejection: r})
		w.wake()
	}
}
