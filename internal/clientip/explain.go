package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Explanation says why an address counts as the caller's. It is computed only
// on request.
type Explanation struct {
	Addr    netip.Addr // the caller's, as [Resolver.Addr] returns it
	Peer    netip.Addr // the other end of the connection
	Trusted bool       // Peer is a trusted proxy and sent the header
	Header  string     // the header that is read
	Ignored bool       // the header was present, but Peer is not trusted
	Hops    []Hop      // the entries examined, from the right
	Ended   string     // why the walk ended before an address that is not trusted; empty if it found one
	Advice  string     // if Ignored: the configuration line that would make the header count
}

// Hop is one entry of a forwarding header.
type Hop struct {
	Text    string     // as it was sent
	Addr    netip.Addr // invalid if it cannot be read
	Trusted bool       // a trusted proxy
}

const (
	endUnreadable = "the entry cannot be read"
	endTooLong    = "the header is too long"
	endAllTrusted = "all entries are trusted proxies"
)

// Explain explains the answer of [Resolver.Addr].
func (r *Resolver) Explain(remote string, h http.Header) *Explanation {
	e := &Explanation{Header: r.header}
	e.Addr, e.Ignored = r.resolve(remote, h, e)
	if e.Ignored && e.Peer.IsValid() {
		e.Advice = r.advice(e.Peer)
	}
	return e
}

// advice includes the ranges in force, since a list in the configuration
// replaces the default as a whole.
func (r *Resolver) advice(peer netip.Addr) string {
	var b strings.Builder
	b.WriteString("trusted_proxies: [")
	for _, p := range append(slices.Clip(r.proxies), netip.PrefixFrom(peer, peer.BitLen())) {
		if b.Len() > len("trusted_proxies: [") {
			b.WriteString(", ")
		}
		b.WriteString(`"` + p.String() + `"`)
	}
	return b.String() + "]"
}

// String returns the explanation in one line: "198.51.100.1: X-Forwarded-For
// from 10.1.2.3, past 10.9.9.9".
func (e *Explanation) String() string { return e.Addr.String() + ": " + e.Source() }

// Source returns the explanation without the address: "X-Forwarded-For from
// 10.1.2.3, past 10.9.9.9".
func (e *Explanation) Source() string {
	switch {
	case e.Ignored:
		return "the peer; " + e.Header + " is ignored, since the peer is not a trusted proxy"
	case !e.Trusted:
		return "the peer"
	}
	var b strings.Builder
	b.WriteString(e.Header + " from " + e.Peer.String())
	e.writeHops(&b)
	return b.String()
}

func (e *Explanation) writeHops(b *strings.Builder) {
	word := ", past "
	for _, hop := range e.Hops {
		if hop.Trusted {
			b.WriteString(word + hop.Addr.String())
			word = ", "
		}
	}
	if e.Ended != "" {
		b.WriteString("; " + e.Ended)
	}
}

// The walk records its steps through these methods. They do nothing if the
// explanation is nil.

func (e *Explanation) peer(a netip.Addr) {
	if e != nil {
		e.Peer = a
	}
}

func (e *Explanation) trust() {
	if e != nil {
		e.Trusted = true
	}
}

func (e *Explanation) hop(text string, a netip.Addr, trusted bool) {
	if e != nil {
		e.Hops = append(e.Hops, Hop{Text: trim(text), Addr: a, Trusted: trusted})
	}
}

func (e *Explanation) end(why string) {
	if e != nil {
		e.Ended = why
	}
}
