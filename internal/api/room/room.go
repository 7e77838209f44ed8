// Package room bounds what all callers use together: memory ([Room]), and
// places for requests that are served at the same time ([Places]). An address
// has a share of each. An IPv6 /64 counts as one address, and a /48 has a
// larger share, but never everything. So a caller that uses a lot is the first
// one to be refused.
package room

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How a room is divided.
const (
	addressPart = 2   // an address has at most this part of it: the largest batch fits in
	reservePart = 8   // this part is kept for small callers
	smallPart   = 256 // who have at most this part in all
)

// If room is short, a reader that has had some time loses its memory if it was
// slower than this in the last few seconds.
const (
	leastAge   = time.Second
	fastEnough = 64 << 10 // bytes a second
	window     = 2 * time.Second
)

var (
	// ErrFull means that there is no room left, either for this address or at
	// all.
	ErrFull = errors.New("room: full")

	// ErrDropped means that a holding's memory was given to another reader,
	// because this one was slower.
	ErrDropped = errors.New("room: dropped")
)

// Cutter is a reader that can be woken up. CutOff is called under the room's
// lock, so it must not block or call the room.
type Cutter interface{ CutOff() }

// Room is an amount of memory, in bytes, and keeps account of its holders. It
// is safe for concurrent use.
//
// When the room is full, or an address has used its share, the slowest readers
// lose their memory to a faster one. So nobody can hold memory by sending
// slowly, whatever size was announced.
type Room struct {
	mu      sync.Mutex // guards what follows, and the fields of all holdings
	shares  shares
	reading *Holding // the first of those that are being filled
	dropped uint64
}

// New returns a room of some bytes.
func New(size int) *Room { return &Room{shares: newShares(size, size/addressPart)} }

// Size returns how many bytes there are.
func (r *Room) Size() int { return r.shares.size }

// Share returns how many bytes an address may have.
func (r *Room) Share() int { return r.shares.each }

// Used returns how many bytes are taken.
func (r *Room) Used() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shares.used
}

// Dropped returns how many holdings have been dropped.
func (r *Room) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// Holding is what one request holds of a room. Only one goroutine may use it,
// but the room may drop it at any time. The zero value holds nothing and needs
// [Holding.Open].
type Holding struct {
	room       *Room
	who        caller
	cutter     Cutter
	n          int // bytes that are held
	prev, next *Holding
	settled    bool // it is full, and cannot be dropped any more

	gone atomic.Bool  // dropped
	came atomic.Int64 // bytes that it was filled with

	// How many bytes had arrived at the last two looks, at least a window
	// apart.
	before, last mark
}

type mark struct {
	at   time.Time
	came int64
}

// Open begins the holding of a request from an address. The bytes of the
// request arrive from now on.
func (h *Holding) Open(r *Room, who netip.Addr, now time.Time, c Cutter) {
	h.room, h.who, h.cutter = r, callerOf(who), c
	h.before.at, h.last.at = now, now
}

// Take takes n bytes more, from slower readers if there is need. The error is
// [ErrFull] or [ErrDropped]. Cost: a few tens of nanoseconds; if room is
// short, a look at all readers.
func (h *Holding) Take(n int) error {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	return h.takeLocked(n)
}

func (h *Holding) takeLocked(n int) error {
	r := h.room
	if h.gone.Load() {
		return ErrDropped
	}
	if !r.fits(h.who, n) && !r.makeRoomLocked(h, n) {
		return ErrFull
	}
	r.shares.add(h.who, n)
	if h.n == 0 && !h.settled && h.prev == nil && r.reading != h {
		r.linkLocked(h)
	}
	h.n += n
	return nil
}

// Give gives back n of the bytes. It does nothing for what was dropped.
func (h *Holding) Give(n int) {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	if h.gone.Load() {
		return
	}
	h.room.shares.add(h.who, -n)
	h.n -= n
}

// Keep gives back all but n of the bytes, if there are more.
func (h *Holding) Keep(n int) {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	if h.n > n {
		h.room.shares.add(h.who, n-h.n)
		h.n = n
	}
}

// Came notes that n more bytes of the holding have arrived.
func (h *Holding) Came(n int, now time.Time) {
	came := h.came.Add(int64(n))
	if now.Sub(h.last.at) < window {
		return
	}
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.before, h.last = h.last, mark{now, came}
}

// Settle says that everything has arrived, so that the holding can no longer be
// dropped. It takes n bytes more for processing. The errors are those of Take.
func (h *Holding) Settle(n int) error {
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.settled = true
	h.room.unlinkLocked(h)
	return h.takeLocked(n)
}

// Dropped reports whether the holding was dropped.
func (h *Holding) Dropped() bool { return h.gone.Load() }

// Release gives everything back. It may be called more than once, and for a
// holding that was not opened.
func (h *Holding) Release() {
	if h.room == nil {
		return
	}
	h.room.mu.Lock()
	defer h.room.mu.Unlock()
	h.room.unlinkLocked(h)
	if !h.gone.Load() {
		h.room.shares.add(h.who, -h.n)
	}
	h.n, h.settled = 0, true
}

func (r *Room) linkLocked(h *Holding) {
	h.next = r.reading
	if h.next != nil {
		h.next.prev = h
	}
	r.reading = h
}

func (r *Room) unlinkLocked(h *Holding) {
	if h.prev == nil && r.reading != h {
		return
	}
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		r.reading = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	h.prev, h.next = nil, nil
}

// fits reports whether there are n bytes for a caller. The last part of the
// room is for callers that hold little.
func (r *Room) fits(c caller, n int) bool {
	address, site, all := r.over(c, n)
	return address+site+all == 0
}

func (r *Room) over(c caller, n int) (address, site, all int) {
	address, site, all = r.shares.over(c, n)
	if r.shares.most(c)+n > r.shares.size/smallPart {
		all = max(r.shares.used+n-(r.shares.size-r.shares.size/reservePart), 0)
	}
	return address, site, all
}

// slow is a reader, and how fast it has been lately, in bytes a second.
type slow struct {
	*Holding

	rate int64
}

// makeRoomLocked drops the slowest readers of the callers that have too much,
// so that there are n bytes for another reader. If that is not possible without
// dropping a faster reader, it drops nothing.
func (r *Room) makeRoomLocked(by *Holding, n int) bool {
	address, site, all := r.over(by.who, n)
	var victims []*Holding
	for _, s := range r.slowerLocked(by) {
		same, near := s.who.address == by.who.address, s.who.site == by.who.site && s.who.site.Bits > 0
		if address > 0 && same || site > 0 && near || all > 0 {
			victims = append(victims, s.Holding)
			all -= s.n
			if near {
				site -= s.n
			}
			if same {
				address -= s.n
			}
		}
	}
	if address > 0 || site > 0 || all > 0 {
		return false
	}
	for _, h := range victims {
		r.dropLocked(h)
	}
	return true
}

// slowerLocked returns the readers that are slower than another, the slowest
// first.
func (r *Room) slowerLocked(than *Holding) []slow {
	now := time.Now()
	most := than.rateLocked(now)
	var readers []slow
	for h := r.reading; h != nil; h = h.next {
		if rate := h.rateLocked(now); h != than && h.n > 0 && rate < most {
			readers = append(readers, slow{h, rate})
		}
	}
	slices.SortFunc(readers, func(a, b slow) int { return cmp.Compare(a.rate, b.rate) })
	return readers
}

// rateLocked returns how fast a reader was in the last seconds, at most
// fastEnough. A reader whose rate is not known yet counts as that fast.
func (h *Holding) rateLocked(now time.Time) int64 {
	age := now.Sub(h.before.at)
	if h.settled || age < leastAge {
		return fastEnough
	}
	return min(int64(float64(h.came.Load()-h.before.came)/age.Seconds()), fastEnough)
}

// dropLocked gives back what a reader holds, before the reader learns of it.
func (r *Room) dropLocked(h *Holding) {
	r.unlinkLocked(h)
	r.shares.add(h.who, -h.n)
	h.n = 0
	h.gone.Store(true)
	r.dropped++
	h.cutter.CutOff()
}
