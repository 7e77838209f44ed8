// Package door bounds the connections to a listener: their total, their number
// per address, the time until a header is complete, and the memory of
// incomplete headers. It does so before the server does any work for a
// connection, including TLS. It learns about HTTP only from [net/http.Server]
// and parses nothing.
//
// A full door makes room before it refuses a connection: it closes those that
// have been idle the longest, of the address that holds the most. It closes a
// connection with a request under way only if the request hardly moves: if its
// body does not come, or its answer is not read.
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

// Bounds is how much a door admits. A [Door] can receive others while it is
// open: connections beyond the new bounds stay until they end.
type Bounds struct {
	Max        int // connections in all
	PerAddress int // per IPv4 address or IPv6 /64; 0: as many as Max
	Headers    int // bytes of all headers together beyond [FreeHeader] each; 0: no bound
}

const (
	// FreeHeader is how many bytes each connection may receive before its
	// header is complete, however many connections there are.
	FreeHeader = 8 << 10

	narrow, wide = 64, 48 // bits of an IPv6 address that identify a caller and a site

	// WideTimes is how many times PerAddress an IPv6 /48 may have.
	WideTimes = 4
)

// Config holds the settings of a door.
type Config struct {
	Bounds Bounds

	// HeaderTime is the time for a complete header, counted from the start of
	// the connection or from the first byte of a later request. It includes the
	// PROXY header and the TLS handshake.
	HeaderTime time.Duration

	// Trusted reports whether an address belongs to a proxy, which connects for
	// everybody and is exempt from PerAddress. If it is nil, no address is
	// trusted.
	Trusted func(netip.Addr) bool

	// Log receives, at most once a minute, a message that a connection could
	// not be accepted, such as for want of descriptors. nil turns this off.
	Log *slog.Logger
}

// Door bounds the connections of one listener. It is safe for concurrent use.
type Door struct {
	Config

	began   time.Time
	headers atomic.Int64 // bytes of long headers
	logNext atomic.Int64 // by [Door.now]: when the next failed connection may be logged
	counts  counts

	mu      sync.Mutex // guards the fields below; nothing blocks under it
	bounds  Bounds
	places  int                      // taken places: of connections, and of further requests on one
	barren  time.Duration            // until then, a search for connections to close is not worthwhile
	conns   map[*conn]struct{}       // open ones
	holders map[clientip.Key]*holder // those with a place
}

// holder is an address or a range of addresses that has connections.
type holder struct {
	key    clientip.Key
	places int
	conns  map[*conn]struct{}
	barren time.Duration // until then, a search for connections to close is not worthwhile
}

// New returns a door that bounds connections as c says.
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

// Reload puts other bounds in force for new connections.
func (d *Door) Reload(b Bounds) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bounds = b
}

// Listener returns ln with d's bounds on the connections that it accepts.
func (d *Door) Listener(ln net.Listener) net.Listener { return &listener{ln, d} }

type listener struct {
	net.Listener

	door *Door
}

// Accept returns the next admitted connection. If the listener fails, Accept
// makes room and passes the error on: after a temporary one, such as EMFILE,
// [net/http.Server] waits up to a second before it tries again.
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

// failed makes room after a connection could not be accepted.
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

// admit admits a connection, or returns nil.
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

// takeLocked takes a place for a connection, both of its address and of the
// total, and makes room if necessary. The evicted connections have given up
// their places; close them outside mu.
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

// holdLocked assigns a connection to an address and its site.
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
			d.holders[h.key] = h // an eviction may have removed its last connection
			h.conns[c] = struct{}{}
		}
	}
	c.countLocked(1)
	return evicted, admitted
}

// holdsAtMostLocked closes surplus connections of an address or a site, as far
// as possible, and a few more, as placesLocked does.
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

// dropLocked removes a connection from its address.
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

// behind assigns a proxy's connection to the address that the proxy connects
// for.
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
	// connection must not be closed to make room for itself.
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

// ErrFull is the read error of a connection whose address, named by a proxy,
// has its maximum of connections.
var ErrFull = errors.New("the address has as many connections as it may have")

func addrOf(a net.Addr) netip.Addr {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.AddrPort().Addr().Unmap().WithZone("")
	case nil:
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(a.String()) // a Unix socket has no address
	return at.Addr().Unmap().WithZone("")
}
