// Package clientip decides whose address a request comes from. Its one idea is that an address counts only if somebody whom
// the operator trusts vouches for it: the peer of the connection is a fact, each entry of a forwarding header is a claim of
// the hop to its right, and the walk from right to left ends at the first hop that is not a trusted proxy. It does not
// judge addresses (internal/limit does) and never resolves names.
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

// The headers that can be chosen. Exactly one of them is ever read.
const (
	XForwardedFor  = "X-Forwarded-For"  // a list of addresses, each proxy adding on the right
	Forwarded      = "Forwarded"        // the same as RFC 7239 has it: for=… parameters
	XRealIP        = "X-Real-IP"        // one address, set by the last proxy
	CFConnectingIP = "CF-Connecting-IP" // one address, set by Cloudflare
)

// How far a header is walked. What lies beyond was written by somebody further away than any real chain of proxies.
const (
	maxHops  = 32
	maxBytes = 2 << 10
)

// Config is what a [Resolver] is made from.
type Config struct {
	Trusted []netip.Prefix // the proxies whose word counts; none: the peer's address is always the caller's
	Header  string         // one of the constants of this package, in any case; empty is [XForwardedFor]
}

// Resolver finds the caller's address. Immutable, safe for concurrent use; a reload makes a new one.
type Resolver struct {
	proxies []netip.Prefix
	trusted bart.Lite
	header  string // as it was chosen, for people
	field   string // the same as net/http spells it: the key in an http.Header
	entry   func(line string) (entry, rest string, more bool)
}

// New returns a resolver, or an error that names the field at fault.
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
		return nil, fmt.Errorf("header: %q is none of %s, %s, %s, %s", cfg.Header, XForwardedFor, Forwarded, XRealIP, CFConnectingIP)
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

// Unmapped returns p, masked, with ::ffff:10.0.0.0/104 written as the IPv4 range
// that it is. If p is not one range of addresses of either kind, it returns p
// and an error.
func Unmapped(p netip.Prefix) (netip.Prefix, error) {
	const mapped = 96 // bits of ::ffff:0:0/96
	switch {
	case !p.IsValid():
		return p, errors.New("not an address range")
	case !p.Addr().Is4In6():
		return p.Masked(), nil
	case p.Bits() < mapped:
		return p, fmt.Errorf("%s holds all of IPv4 and more: write the two ranges apart", p)
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped).Masked(), nil
}

// Trusts tells whether an address, IPv4 never as mapped IPv6, is a trusted
// proxy's.
func (r *Resolver) Trusts(addr netip.Addr) bool { return r.trusted.Contains(addr) }

// Addr returns the address of the caller: IPv4 never as mapped IPv6, without port and zone. It is invalid only if remote,
// which is what [http.Request.RemoteAddr] holds, has no address in it. ignored tells that the chosen header was there but
// came from a peer that is not trusted: worth one line in the log, which [Resolver.Explain] words. Addr does not allocate.
func (r *Resolver) Addr(remote string, h http.Header) (addr netip.Addr, ignored bool) {
	return r.resolve(remote, h, nil)
}

// resolve is Addr, and writes what it sees into note if there is one.
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

// walk reads lines as one list, from the right, and returns the first address that is not a trusted proxy's; or, where an
// entry cannot be read or the list ends, the last address that was vouched for. addr is that of the hop that wrote the
// rightmost entry.
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

// lastListed cuts the last entry off a comma-separated list. An empty entry is not skipped, as RFC 9110 section 5.6.1 would
// have it: a proxy that did not know its peer may have written it, and what stands to its left is then anybody's word.
func lastListed(line string) (entry, rest string, more bool) {
	if i := strings.LastIndexByte(line, ','); i >= 0 {
		return line[i+1:], line[:i], true
	}
	return line, "", false
}

// onlyOne is lastListed for a header of one value.
func onlyOne(line string) (entry, rest string, more bool) { return line, "", false }
