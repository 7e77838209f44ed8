package clientip

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Explanation says why an address was taken for the caller's. It is computed only when asked for.
type Explanation struct {
	Addr    netip.Addr // the caller's, as [Resolver.Addr] returns it
	Peer    netip.Addr // the other end of the connection
	Trusted bool       // Peer is a trusted proxy and sent the header
	Header  string     // the header that is read
	Ignored bool       // the header was there, but Peer is not trusted
	Hops    []Hop      // what was walked, from the right
	Ended   string     // why the walk ended before it met an address that is not trusted; empty if it did meet one
	Advice  string     // if Ignored: the line of the configuration with which the header would have counted
}

// Hop is one entry of a forwarding header.
type Hop struct {
	Text    string     // as it was sent
	Addr    netip.Addr // invalid if it cannot be read
	Trusted bool       // a trusted proxy's
}

const (
	endUnreadable = "the entry cannot be read"
	endTooLong    = "the header is too long"
	endAllTrusted = "all entries are trusted proxies"
)

// Explain says how [Resolver.Addr] comes to its answer.
func (r *Resolver) Explain(remote string, h http.Header) *Explanation {
	e := &Explanation{Header: r.header}
	e.Addr, e.Ignored = r.resolve(remote, h, e)
	if e.Ignored && e.Peer.IsValid() {
		e.Advice = r.advice(e.Peer)
	}
	return e
}

// advice holds the ranges in force too, since a list in the configuration replaces the default as a whole.
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

// String words the explanation in one line: "198.51.100.1: X-Forwarded-For from 10.1.2.3, past 10.9.9.9".
func (e *Explanation) String() string { return e.Addr.String() + ": " + e.Source() }

// Source is the same without the address: "X-Forwarded-For from 10.1.2.3, past 10.9.9.9".
func (e *Explanation) Source() string {
	switch {
	case e.Ignored:
		return "the peer; " + e.Header + " is ignored, since the peer is no trusted proxy"
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

// The methods by which the walk takes notes: none of them does anything to a nil explanation.

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
