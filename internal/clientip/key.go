package clientip

import (
	"encoding/binary"
	"net/netip"
)

// Key is the part of an address that identifies a caller: the whole of an IPv4
// address, the first bits of an IPv6 address. Keys are comparable. The zero Key
// means no address; code that counts by Key must not count all of those as one
// caller.
type Key struct {
	Hi, Lo uint64 // the 16 bytes, big-endian, IPv4 as ::ffff:a.b.c.d; bits beyond the prefix are zero
	Bits   uint8  // how many of the 128 bits are kept
}

// KeyOf returns the key of addr: of an IPv6 address, the first bits (1 to 128).
// Mapped addresses are IPv4, and zones are ignored. It takes a few nanoseconds.
func KeyOf(addr netip.Addr, bits int) Key {
	if !addr.IsValid() {
		return Key{}
	}
	if addr.Is4() || addr.Is4In6() {
		b := addr.As4()
		return Key{Lo: 0xffff<<32 | uint64(binary.BigEndian.Uint32(b[:])), Bits: 128}
	}
	b := addr.As16()
	k := Key{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
	k.Bits = uint8(bits)
	if bits <= 64 {
		k.Hi, k.Lo = k.Hi&(^uint64(0)<<(64-bits)), 0
	} else {
		k.Lo &= ^uint64(0) << (128 - bits)
	}
	return k
}

// Addr returns the first address with this key.
func (k Key) Addr() netip.Addr {
	if k.Bits == 0 {
		return netip.Addr{}
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.Hi)
	binary.BigEndian.PutUint64(b[8:], k.Lo)
	return netip.AddrFrom16(b).Unmap()
}

// String returns an IPv4 address as it is, and an IPv6 key as a prefix:
// "2001:db8:1:2::/64".
func (k Key) String() string {
	a := k.Addr()
	if !a.Is6() {
		return a.String()
	}
	return netip.PrefixFrom(a, int(k.Bits)).String()
}
