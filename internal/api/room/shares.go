package room

import (
	"net/netip"

	"trackway/internal/clientip"
)

// How many leading bits of an IPv6 address identify one address, and one site.
// Providers give the first to a household or a machine, and the second to a
// company.
const (
	addressBits = 64
	siteBits    = 48
)

// caller is the owner of a share.
type caller struct {
	address clientip.Key
	site    clientip.Key // zero for IPv4
}

func callerOf(addr netip.Addr) caller {
	c := caller{address: clientip.KeyOf(addr, addressBits)}
	if addr.Is6() && !addr.Is4In6() {
		c.site = clientip.KeyOf(addr, siteBits)
	}
	return c
}

// wide returns the larger of an address and its site.
func (c caller) wide() clientip.Key {
	if c.site.Bits > 0 {
		return c.site
	}
	return c.address
}

// shares divides an amount of a resource, and keeps account of how much each
// caller has. An address may have a share. A site may have that share and half
// of what it leaves, so that no range of addresses that is cheap to get can
// take everything.
type shares struct {
	size int // in all
	each int // of an address
	used int
	by   map[clientip.Key]int // by addresses and sites that have any
}

func newShares(size, each int) shares {
	return shares{size: size, each: each, by: make(map[clientip.Key]int)}
}

// site returns how much a site may have.
func (s *shares) site() int { return (s.each + s.size) / 2 }

// over returns by how much n more would exceed the bounds of an address, of its
// site and of the whole. The results are never negative.
func (s *shares) over(c caller, n int) (address, site, all int) {
	address = max(s.by[c.address]+n-s.each, 0)
	if c.site.Bits > 0 {
		site = max(s.by[c.site]+n-s.site(), 0)
	}
	return address, site, max(s.used+n-s.size, 0)
}

func (s *shares) fits(c caller, n int) bool {
	address, site, all := s.over(c, n)
	return address+site+all == 0
}

// add adds n, which may be negative, to what a caller has.
func (s *shares) add(c caller, n int) {
	s.used += n
	s.count(c.address, n)
	if c.site.Bits > 0 {
		s.count(c.site, n)
	}
}

func (s *shares) count(key clientip.Key, n int) {
	if s.by[key] += n; s.by[key] == 0 {
		delete(s.by, key)
	}
}

// most returns how much the larger of an address and its site has.
func (s *shares) most(c caller) int { return s.by[c.wide()] }
