// Package door bounds the connections to a listener: how many there are in
// all and of one address, how long each may take to say what it wants, and
// what a header may take that has not come whole. It does so before anything
// is done for a connection, TLS included. It knows HTTP only as far as
// [net/http.Server] tells of it: it reads nothing of what is sent.
//
// A full door makes place before it turns anybody away: it closes the
// connections that have been idle for the longest, of the address that holds
// the most. It closes one for that on which a request is under way only if
// that hardly moves: if its body does not come, or its answer is not read.
package door

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trackway/internal/clientip"
)

// Bounds is how much a door lets in. A [Door] can be given others while it is
// open: connections that are over them then stay until they end.
type Bounds struct {
	Max        int // connections in all
	PerAddress int // of one IPv4 address or IPv6 /64; 0: as many as Max
	Headers    int // bytes that headers may take together beyond [FreeHeader] each; 0: no bound
}

const (
	// FreeHeader is how many bytes may come on each connection before its
	// header is whole, however many there are.
	FreeHeader = 8 << 10

	narrow, wide = 64, 48 // bits of an IPv6 address that make one caller, and one site

	// WideTimes is how many times PerAddress an IPv6 /48 may have.
	WideTimes = 4
)

// Config is what a door is made of.
type Config struct {
	Bounds Bounds

	// HeaderTime is how long a connection may take from its beginning, or from
	// the first byte of a later request, until a header has come whole. What a
	// proxy says first (PROXY) and the TLS handshake are included.
	HeaderTime time.Duration

	// Trusted tells whether an address is a proxy's, which connects for
	// everybody: PerAddress does not concern it. nil: none is.
	Trusted func(netip.Addr) bool

	// Log is told, at most once a minute, that a connection could not be
	// accepted, such as for want of descriptors. nil: nobody is.
	Log *slog.Logger
}

// Door bounds the connections of one listener. Safe for concurrent use.
type Door struct {
	Config

	began   time.Time
	headers atomic.Int64 // bytes that long headers take
	logNext atomic.Int64 // when the next connection that cannot be accepted may be logged, by [Door.now]
	counts  counts

	mu      sync.Mutex // guards what follows; nothing blocks under it
	bounds  Bounds
	places  int                      // that are taken: of connections, and of further requests on one
	barren  time.Duration            // until when it is not worth looking for one that makes place
	conns   map[*conn]struct{}       // that are open
	holders map[clientip.Key]*holder // of a place
}

// holder is an address or a range of addresses that has connections.
type holder struct {
	key    clientip.Key
	places int
	conns  map[*conn]struct{}
	barren time.Duration // until when it is not worth looking for one that makes place
}

// New returns a door.
func New(c Config) *Door {
	if c.Trusted == nil {
		c.Trusted = func(netip.Addr) bool { return false }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	d := &Door{
		Config: c, began: time.Now(), bounds: c.Bounds,
		conns: make(map[*conn]struct{}), holders: make(map[clientip.Key]*holder),
	}
	return d
}

// Reload puts other bounds in force for connections that come from now on.
func (d *Door) Reload(b Bounds) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bounds = b
}

// Listener returns ln with d's bounds on what it accepts.
func (d *Door) Listener(ln net.Listener) net.Listener { return &listener{ln, d} }

type listener struct {
	net.Listener

	door *Door
}

// Accept returns the next connection that is let in. An error is passed on
// after place was made: [net/http.Server] waits before it tries again after
// one that is temporary, such as EMFILE, up to a second.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			l.door.failed(err)
			return nil, err
		}
		if c := l.door.admit(nc); c != nil {
			return c, nil
		}
		_ = nc.Close() // nothing was sent on it
	}
}

// failed makes place after a connection could not be accepted.
func (d *Door) failed(err error) {
	if errors.Is(err, net.ErrClosed) {
		return
	}
	d.counts.refused[refusedFailed].Add(1)
	now := int64(d.now())
	if due := d.logNext.Load(); now >= due && d.logNext.CompareAndSwap(due, now+int64(time.Minute)) {
		d.Log.Warn("a connection cannot be accepted: idle ones are closed to make place", "err", err)
	}
	d.mu.Lock()
	evicted := d.placesLocked(1)
	d.mu.Unlock()
	d.closeAll(evicted)
}

// now returns the time since the door was made, which never goes back.
func (d *Door) now() time.Duration { return time.Since(d.began) }

// admit lets a connection in, or returns nil.
func (d *Door) admit(nc net.Conn) *conn {
	addr := addrOf(nc.RemoteAddr())
	c := &conn{Conn: nc, door: d, trusted: !addr.IsValid() || d.Trusted(addr), since: d.now()}
	d.mu.Lock()
	evicted, why := d.takeLocked(c, addr)
	if why == admitted {
		d.conns[c] = struct{}{}
	}
	d.mu.Unlock()
	d.closeAll(evicted)
	if why != admitted {
		d.counts.refused[why].Add(1)
		return nil
	}
	d.counts.accepted.Add(1)
	return c
}

// takeLocked takes a place for a connection, of an address and in all, and
// makes place if there is none. The evicted have given theirs up, and are to
// be closed outside mu.
func (d *Door) takeLocked(c *conn, addr netip.Addr) (evicted []*conn, why refusal) {
	evicted, why = d.holdLocked(c, addr)
	if why != admitted {
		return evicted, why
	}
	if d.places >= d.bounds.Max {
		evicted = append(evicted, d.placesLocked(d.places-d.bounds.Max+1)...)
	}
	if d.places >= d.bounds.Max {
		c.countLocked(-1)
		d.dropLocked(c)
		return evicted, refusedFull
	}
	d.places++
	return evicted, admitted
}

// holdLocked has an address, and its site, hold a connection.
func (d *Door) holdLocked(c *conn, addr netip.Addr) (evicted []*conn, why refusal) {
	c.holder, c.site = d.holderLocked(clientip.KeyOf(addr, narrow)), nil
	if addr.Is6() && !addr.Is4In6() {
		c.site = d.holderLocked(clientip.KeyOf(addr, wide))
	}
	if most := d.bounds.PerAddress; !c.trusted && most > 0 {
		evicted = d.holdsAtMostLocked(c.holder, most-1)
		if c.site != nil {
			evicted = append(evicted, d.holdsAtMostLocked(c.site, most*WideTimes-1)...)
		}
		if c.holder.places >= most || c.site != nil && c.site.places >= most*WideTimes {
			d.dropLocked(c)
			return evicted, refusedAddress
		}
	}
	for _, h := range []*holder{c.holder, c.site} {
		if h != nil {
			d.holders[h.key] = h // an eviction may have left it without connections
			h.conns[c] = struct{}{}
		}
	}
	c.countLocked(1)
	return evicted, admitted
}

// holdsAtMostLocked closes connections of an address or a site that has too
// many, as far as that can be done, and a few more, as placesLocked does.
func (d *Door) holdsAtMostLocked(h *holder, most int) []*conn {
	need, now := h.places-most, d.now()
	if need <= 0 || now < h.barren {
		return nil
	}
	evicted := d.evictLocked(h.conns, max(need, h.places/ofAddress), nil)
	if len(evicted) < need {
		h.barren = now + rest
	}
	return evicted
}

// countLocked adds n to the places of a connection's address and site.
func (c *conn) countLocked(n int) {
	c.holder.places += n
	if c.site != nil {
		c.site.places += n
	}
}

func (d *Door) holderLocked(key clientip.Key) *holder {
	h := d.holders[key]
	if h == nil {
		h = &holder{key: key, conns: make(map[*conn]struct{})}
		d.holders[key] = h
	}
	return h
}

// dropLocked takes a connection from its address.
func (d *Door) dropLocked(c *conn) {
	for _, h := range []*holder{c.holder, c.site} {
		if h == nil {
			continue
		}
		if delete(h.conns, c); h.places == 0 {
			delete(d.holders, h.key)
		}
	}
	c.holder, c.site = nil, nil
}

// leaveLocked gives up the places of a connection, once.
func (d *Door) leaveLocked(c *conn) {
	if _, here := d.conns[c]; !here {
		return
	}
	delete(d.conns, c)
	places := 1 + c.further
	c.further = 0
	d.places -= places
	c.countLocked(-places)
	d.dropLocked(c)
}

// behind notes whom a proxy connects for, once that is known: the connection
// is that address's from now on.
func (d *Door) behind(c *conn, addr netip.Addr) error {
	if !addr.IsValid() {
		return nil // the proxy's own
	}
	d.mu.Lock()
	if _, here := d.conns[c]; !here {
		d.mu.Unlock()
		return net.ErrClosed
	}
	// It leaves first: the address, or its site, may be the proxy's own, and a
	// connection must not be closed to make place for itself.
	d.leaveLocked(c)
	c.trusted = d.Trusted(addr)
	evicted, why := d.holdLocked(c, addr)
	if why == admitted {
		d.places++
		d.conns[c] = struct{}{}
	}
	d.mu.Unlock()
	d.closeAll(evicted)
	if why != admitted {
		d.counts.refused[why].Add(1)
		return ErrFull
	}
	return nil
}

// ErrFull is what the reading of a connection ends with whose address, named
// by a proxy, has as many as it may have.
var ErrFull = errors.New("the address has as many connections as it may have")

func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case nil:
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(a.String()) // a socket of this machine has none
	return at.Addr().Unmap().WithZone("")
}
