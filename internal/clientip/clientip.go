// Package clientip decides which address a request comes from. An address
// counts only if somebody whom the operator trusts vouches for it. The peer of
// the connection is a fact. Each entry of a forwarding header is a claim of the
// hop to its right. So the walk goes from right to left and ends at the first
// hop that is not a trusted proxy. The package does not judge addresses
// (internal/limit does), and never resolves names.
package clientip

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gaissmai/bart"
)

// The headers to choose from. Exactly one of them is ever read.
const (
	XForwardedFor  = "X-Forwarded-For"  // a list of addresses; each proxy adds one on the right
	Forwarded      = "Forwarded"        // the same in the form of RFC 7239: for=… parameters
	XRealIP        = "X-Real-IP"        // one address, set by the last proxy
	CFConnectingIP = "CF-Connecting-IP" // one address, set by Cloudflare
)

// How far a header is walked. Beyond this, the writer is farther away than any
// real chain of proxies is long.
const (
	maxHops  = 32
	maxBytes = 2 << 10
)

// Config is what a [Resolver] needs.
type Config struct {
	Trusted []netip.Prefix // the trusted proxies; without any, the peer's address is always the caller's
	Header  string         // one of the constants of this package, in any letter case; empty means [XForwardedFor]
}

// Resolver finds the caller's address. It is immutable and safe for concurrent
// use; a reload makes a new one.
type Resolver struct {
	proxies []netip.Prefix
	trusted bart.Lite
	header  string // as configured, for people
	field   string // as net/http spells it: the key in an http.Header
	entry   func(line string) (entry, rest string, more bool)
}

// New returns a resolver. An error names the field at fault.
func New(cfg Config) (*Resolver, error) {
	r := &Resolver{header: cfg.Header}
	if r.header == "" {
		r.header = XForwardedFor
	}
	r.field = http.CanonicalHeaderKey(r.header)
	switch r.field {
	case XForwardedFor:
		r.entry = lastListed
	case Forwarded:
		r.entry = lastForwarded
	case http.CanonicalHeaderKey(XRealIP), http.CanonicalHeaderKey(CFConnectingIP):
		r.entry = onlyOne
	default:
		return nil, fmt.Errorf("header: %q must be %s, %s, %s or %s", cfg.Header, XForwardedFor, Forwarded, XRealIP, CFConnectingIP)
	}
	for i, p := range cfg.Trusted {
		p, err := Unmapped(p)
		if err != nil {
			return nil, fmt.Errorf("trusted[%d]: %w", i, err)
		}
		r.proxies = append(r.proxies, p)
		r.trusted.Insert(p)
	}
	return r, nil
}

// Unmapped returns p, masked, and converts a mapped range such as
// ::ffff:10.0.0.0/104 to IPv4. If p is not a range of addresses of one kind, it
// returns p and an error.
func Unmapped(p netip.Prefix) (netip.Prefix, error) {
	const mapped = 96 // bits of ::ffff:0:0/96
	switch {
	case !p.IsValid():
		return p, errors.New("not an address range")
	case !p.Addr().Is4In6():
		return p.Masked(), nil
	case p.Bits() < mapped:
		return p, fmt.Errorf("%s holds all of IPv4 and more: write the two ranges separately", p)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped).Masked(), nil
}

// Trusts reports whether an address is a trusted proxy's. The address must not
// be a mapped one.
func (r *Resolver) Trusts(addr netip.Addr) bool { return r.trusted.Contains(addr) }

// Addr returns the address of the caller, without port and zone, and never as
// mapped IPv6. It is invalid only if remote, the value of
// [http.Request.RemoteAddr], contains no address. ignored reports that the
// chosen header was present, but the peer is not trusted: the caller may want
// to log the text of [Resolver.Explain]. Addr does not allocate.
func (r *Resolver) Addr(remote string, h http.Header) (addr netip.Addr, ignored bool) {
	return r.resolve(remote, h, nil)
}

// resolve implements Addr, and records its steps in note unless that is nil.
func (r *Resolver) resolve(remote string, h http.Header, note *Explanation) (addr netip.Addr, ignored bool) {
	peer, ok := parse(remote)
	lines := h[r.field]
	note.peer(peer)
	switch {
	case !ok:
		return netip.Addr{}, len(lines) > 0
	case len(lines) == 0:
		return peer, false
	case !r.trusted.Contains(peer):
		return peer, true
	}
	note.trust()
	return r.walk(peer, lines, note), false
}

// walk reads lines as one list from the right, and returns the first address
// that is not a trusted proxy's. If an entry cannot be parsed or the list ends,
// it returns the last address that a trusted proxy vouched for. addr is the
// address of the hop that wrote the rightmost entry.
func (r *Resolver) walk(addr netip.Addr, lines []string, note *Explanation) netip.Addr {
	hops, bytes := maxHops, maxBytes
	for _, line := range slices.Backward(lines) {
		whole := len(line) <= bytes
		if !whole {
			line = line[len(line)-bytes:]
		}
		bytes -= len(line)
		for more := true; more; hops-- {
			var text string
			text, line, more = r.entry(line)
			if hops == 0 || (!more && !whole) { // the first part of a cut line may be half an address
				note.end(endTooLong)
				return addr
			}
			next, ok := parse(text)
			if !ok {
				note.hop(text, netip.Addr{}, false)
				note.end(endUnreadable)
				return addr
			}
			addr = next
			trusted := r.trusted.Contains(addr)
			note.hop(text, addr, trusted)
			if !trusted {
				return addr
			}
		}
	}
	note.end(endAllTrusted)
	return addr
}

// lastListed cuts the last entry off a comma-separated list. It does not skip
// an empty entry, as RFC 9110 section 5.6.1 would: a proxy that did not know
// its peer may have written it, and then anybody may have written what is to
// its left.
func lastListed(line string) (entry, rest string, more bool) {
	if i := strings.LastIndexByte(line, ','); i >= 0 {
		return line[i+1:], line[:i], true
	}
	return line, "", false
}

// onlyOne is lastListed for a header with one value.
func onlyOne(line string) (entry, rest string, more bool) { return line, "", false }
