package outbound

import (
	"net/netip"
	"slices"
)

// refused are the ranges that no request may reach unless it is allowed. They
// are all ranges that are not globally reachable according to IANA's
// special-purpose registries (RFC 6890), and public addresses at which clouds
// serve metadata.
var refused = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/3",
	"168.63.129.16/32", // Azure: "wire server"
	// In IPv6, only 2000::/3 is global unicast. These are the exceptions in it.
	"2001::/23", "2001:db8::/32", "3fff::/20",
)

var global = netip.MustParsePrefix("2000::/3")

// Addresses in these ranges contain the IPv4 address that they lead to.
var (
	nat64   = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052: the last 4 bytes
	sixTo4  = netip.MustParsePrefix("2002::/16")    // RFC 3056: bytes 2 to 5
	isatapA = [4]byte{0, 0, 0x5e, 0xfe}             // RFC 5214: bytes 8 to 11; then the last 4 bytes
	isatapB = [4]byte{2, 0, 0x5e, 0xfe}
)

// public reports whether an address belongs to the public Internet. For an
// address that leads to an IPv4 address, that IPv4 address decides.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return false
	}
	if a.Is4() {
		return !within(refused, a)
	}
	b := a.As16()
	if nat64.Contains(a) {
		return public(netip.AddrFrom4([4]byte(b[12:])))
	}
	if !global.Contains(a) || within(refused, a) {
		return false
	}
	if sixTo4.Contains(a) && !public(netip.AddrFrom4([4]byte(b[2:6]))) {
		return false
	}
	if head := [4]byte(b[8:12]); head == isatapA || head == isatapB {
		return public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return true
}

func within(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}
