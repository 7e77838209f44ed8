package room

import (
	"net/netip"
	"testing"
)

// An address has its share and no more, a network of IPv6 is one address, and what is given back can be taken again.
func TestShares(t *testing.T) {
	t.Parallel()
	m := New(10 * Shares)
	one, other := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("198.51.100.99")
	if !m.Take(one, 6) || m.Take(one, 5) || m.Take(netip.MustParseAddr("2001:db8::2"), 5) || !m.Take(other, 10) || m.Take(other, 1) {
		t.Error("an address has its share, and no more")
	}
	for i := range byte(Shares) {
		m.Take(netip.AddrFrom4([4]byte{192, 0, 2, i}), 9)
	}
	if got, want := m.Used(), 6+10+9+9; got != want || m.Take(netip.MustParseAddr("192.0.2.9"), 10*Shares-want+1) {
		t.Errorf("%d are taken, want %d, and then no more than there is", got, want)
	}
	m.Release(one, 6)
	if !m.Take(one, 10) {
		t.Error("what was given back cannot be taken again")
	}
}
