package clientip_test

import (
	"fmt"
	"net/http"
	"net/netip"

	"trackway/internal/clientip"
)

// A client sends a forged header. The trusted proxy adds the address that it
// sees. The walk begins at the right and ends at the first address that is not
// a proxy's, so the forged one does not count.
func ExampleResolver_Addr() {
	r, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	header := http.Header{"X-Forwarded-For": {"203.0.113.99, 198.51.100.1"}}
	addr, ignored := r.Addr("10.1.2.3:4711", header)
	fmt.Println(addr, ignored)

	addr, ignored = r.Addr("192.0.2.7:4711", header) // not a trusted proxy
	fmt.Println(addr, ignored)
	// Output:
	// 198.51.100.1 false
	// 192.0.2.7 true
}

func ExampleResolver_Explain() {
	r, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Explain("10.1.2.3:4711", http.Header{"X-Forwarded-For": {"198.51.100.1, 10.9.9.9"}}))
	// Output: 198.51.100.1: X-Forwarded-For from 10.1.2.3, past 10.9.9.9
}

// Two addresses of one IPv6 customer count as one caller, since a customer has
// a whole /64.
func ExampleKeyOf() {
	home := clientip.KeyOf(netip.MustParseAddr("2001:db8:1:2::1"), 64)
	phone := clientip.KeyOf(netip.MustParseAddr("2001:db8:1:2:aaaa::9"), 64)
	fmt.Println(home == phone, home)
	fmt.Println(clientip.KeyOf(netip.MustParseAddr("::ffff:192.0.2.7"), 64))
	// Output:
	// true 2001:db8:1:2::/64
	// 192.0.2.7
}
