package live

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/excerpt"
)

// Rejection is a command that was refused, with the reason. It is kept in
// memory for a while, so that people see which calls failed.
type Rejection struct {
	Number   uint64 // increases with each rejection, even across restarts; assigned by [Hub.Reject]
	Project  uint32 // 0: unknown
	Received trackway.Micros
	Command  string // its name; may be empty
	Type     string // of the event; may be empty
	IDs      []trackway.Identifier
	Field    string // the field at fault; may be empty
	Reason   string
	Address  netip.Addr
}

// Limits on the refused commands that are kept, so that a flood of them costs
// little memory and time.
const (
	mostASecond = 100 // noted in a second
	mostIDs     = 8   // kept of one command
	longest     = 256 // bytes kept of a text
	countBits   = 32  // of Hub.noted
)

// Room reports whether a command that is refused now will be noted: only the
// first ones in each second are. It costs one atomic operation and saves the
// caller from making a [Rejection] for nothing. REQUIRES: the caller calls
// Reject if Room returns true.
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

// Reject notes a refused command and shows it. It copies the texts, which may
// be parts of a request's body.
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

// longestCall limits the time from a command's receipt until it is noted as
// refused.
const longestCall = trackway.Micros(2 * time.Minute / time.Microsecond)

// cameBeforeErasure reports whether a command with identifiers may have come
// before the last erasure in its project: Forget has not seen the command, and
// the erased identifiers are no longer known. If the clock was set back far,
// commands are noted all the same.
func (h *Hub) cameBeforeErasure(r *Rejection) bool {
	done := h.forgotten[r.Project]
	return done != 0 && len(r.IDs) > 0 && r.Received <= done && r.Received > done-longestCall
}

// own returns a copy of a text. It cuts a long one at the end of a character.
func own(text string) string { return strings.Clone(excerpt.Of(text, longest)) }

// Forget forgets a customer that was erased from the log and had the given
// identifiers. It removes the project's refused commands that name one of them,
// including those that wait for a watcher, and those that came before now and
// are noted later. Waiting events are read again before they are shown.
// Watchers of the customer no longer know it by these identifiers.
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

// share reports whether two lists have an identifier in common. Those of a
// refused command are as they were sent, so it ignores white space around them.
func share(a, b []trackway.Identifier) bool {
	return slices.ContainsFunc(a, func(id trackway.Identifier) bool {
		return slices.ContainsFunc(b, func(other trackway.Identifier) bool {
			return id.Name == other.Name && strings.TrimSpace(id.Value) == strings.TrimSpace(other.Value)
		})
	})
}

// wantsRejection reports whether a watcher wants to see a refused command. If
// it watches a customer, the command must name an identifier that the customer
// had when the watching began.
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
