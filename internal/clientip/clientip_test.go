package clientip

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"trackway/internal/allocs"
	"trackway/internal/prereq"
)

// vector is a case in ../shared/conformance/clientip.json.
type vector struct {
	Name    string
	Header  string
	Trusted []netip.Prefix
	Remote  string
	Headers [][2]string
	Want    netip.Addr
}

func TestConformance(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../../shared/conformance/clientip.json")
	if errors.Is(err, fs.ErrNotExist) {
		prereq.Missing(t, prereq.Shared, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for _, line := range v.Headers {
				h.Add(line[0], strings.Replace(line[1], "<5000 times 6.6.6.6 joined by comma>", strings.Repeat("6.6.6.6,", 4999)+"6.6.6.6", 1))
			}
			r := mustNew(t, v.Header, v.Trusted...)
			got, _ := r.Addr(v.Remote, h)
			if got != v.Want {
				t.Errorf("got %v, want %v", got, v.Want)
			}
			if e := r.Explain(v.Remote, h); e.Addr != got {
				t.Errorf("the explanation comes to %v: %v", e.Addr, e)
			}
		})
	}
}

func mustNew(t testing.TB, header string, trusted ...netip.Prefix) *Resolver {
	t.Helper()
	r, err := New(Config{Trusted: trusted, Header: header})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var ten = netip.MustParsePrefix("10.0.0.0/8")

func TestEntries(t *testing.T) {
	t.Parallel()
	const peer = "10.1.2.3"
	for _, c := range []struct{ header, line, want string }{
		// Not addresses: the peer's address counts.
		{"", "198.51.100.1:", peer},
		{"", "198.51.100.1:http", peer},
		{"", "198.51.100.1:65536", peer},
		{"", "198.51.100.1:000080", peer},
		{"", "[198.51.100.1]:80", peer},
		{"", "[2001:db8::1", peer},
		{"", "[2001:db8::1]80", peer},
		{"", "[]", peer},
		{"", "198.51.100.1%eth0", peer},
		{"", "198.51.100", peer},
		{"", "198.51.100.256", peer},
		{"", "0x7f.1", peer},
		{"", "3325256705", peer},
		{"", "localhost", peer},
		{"", "0.0.0.0", peer},
		{"", "::", peer},
		{"", "::ffff:0.0.0.0", peer},
		{"", `"198.51.100.1"`, peer},
		{"", "198.51.100.1,", peer},
		{"", ",", peer},
		{"", "6.6.6.6, , 10.0.0.1", "10.0.0.1"},
		// Addresses.
		{"", "198.51.100.1:0", "198.51.100.1"},
		{"", "2001:DB8::1", "2001:db8::1"},
		{"", "[fe80::1%eth0]:80", "fe80::1"},
		{"", "[::ffff:198.51.100.1]:80", "198.51.100.1"},
		{"", "::ffff:10.9.9.9", "10.9.9.9"},
		// Other headers.
		{"X-Real-IP", "198.51.100.1", "198.51.100.1"},
		{"x-real-ip", " 198.51.100.1 ", "198.51.100.1"},
		{"X-Real-IP", "6.6.6.6, 198.51.100.1", peer},
		{"X-Real-IP", "10.9.9.9", "10.9.9.9"},
		{"CF-Connecting-IP", "2001:db8::1", "2001:db8::1"},
		{"CF-Connecting-IP", "", peer},
		{"Forwarded", "for=198.51.100.1", "198.51.100.1"},
		{"Forwarded", "proto=https; For=198.51.100.1 ; by=10.0.0.1", "198.51.100.1"},
		{"Forwarded", `for="198.51.100.1:4711"`, "198.51.100.1"},
		{"Forwarded", `for="198.51.100.1:_port"`, "198.51.100.1"},
		{"Forwarded", `for="\[2001:db8::1\]"`, "2001:db8::1"},
		{"Forwarded", `for=198.51.100.1;note="a, b; for=6.6.6.6"`, "198.51.100.1"},
		{"Forwarded", `for=198.51.100.1;note="a\", for=6.6.6.6"`, "198.51.100.1"},
		{"Forwarded", `for=198.51.100.1, for=10.0.0.7;note=","`, "198.51.100.1"},
		{"Forwarded", "for=_hidden", peer},
		{"Forwarded", "for=unknown", peer},
		{"Forwarded", "proto=https", peer},
		{"Forwarded", "for=6.6.6.6;for=198.51.100.1", peer},
		{"Forwarded", "for", peer},
		{"Forwarded", `for="198.51.100.1`, peer},
		{"Forwarded", `for="198.51.100.1"x`, peer},
		{"Forwarded", "", peer},
		{"Forwarded", "for=6.6.6.6,", peer},
		// A quotation mark that a caller never closes swallows nothing that a
		// proxy added.
		{"Forwarded", `for="6.6.6.6, for=198.51.100.1`, "198.51.100.1"},
		{"Forwarded", `for=", for="[2001:db8::1]:4711"`, "2001:db8::1"},
		{"Forwarded", `for="\, for=198.51.100.1`, "198.51.100.1"},
	} {
		field := c.header
		if field == "" {
			field = XForwardedFor
		}
		r := mustNew(t, c.header, ten)
		h := http.Header{http.CanonicalHeaderKey(field): {c.line}}
		if got, ignored := r.Addr(peer+":80", h); got != netip.MustParseAddr(c.want) || ignored {
			t.Errorf("%s: %s: got %v (ignored %v), want %s", field, c.line, got, ignored, c.want)
		}
	}
}

// In a header with one value, only the last line counts: a proxy that adds a
// line instead of replacing it adds the last one.
func TestLastLineOfOneValue(t *testing.T) {
	t.Parallel()
	r := mustNew(t, XRealIP, ten)
	h := http.Header{"X-Real-Ip": {"6.6.6.6", "198.51.100.1"}}
	if got, _ := r.Addr("10.1.2.3:80", h); got != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("got %v, want 198.51.100.1", got)
	}
}

// The walk looks at most at 32 entries and 2 KiB, and does not parse an entry
// that is cut in two.
func TestWalkIsBounded(t *testing.T) {
	t.Parallel()
	const peer = "10.1.2.3:80"
	r := mustNew(t, "", ten)
	f := func(want string, lines ...string) {
		t.Helper()
		if got, _ := r.Addr(peer, http.Header{XForwardedFor: lines}); got != netip.MustParseAddr(want) {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	hops := strings.Repeat(", 10.0.0.9", 30)
	f("198.51.100.1", "198.51.100.1, 10.0.0.8"+hops) // the 32nd entry
	f("10.0.0.7", "198.51.100.1, 10.0.0.7, 10.0.0.8"+hops)
	f("10.0.0.7", "198.51.100.1", "10.0.0.7", "10.0.0.8"+hops)

	blanks := strings.Repeat(" ", 2036)
	f("198.51.100.1", "198.51.100.1"+blanks)
	f("10.1.2.3", "198.51.100.1"+blanks+" ") // cut, this would read 98.51.100.1
	f("10.0.0.9", "198.51.100.1", blanks+"10.0.0.9"+"    ")
	f("10.0.0.9", "198.51.100.1,", strings.Repeat(" ", 2040)+"10.0.0.9")
}

func TestTrustedRanges(t *testing.T) {
	t.Parallel()
	h := http.Header{XForwardedFor: {"198.51.100.1"}}
	for _, c := range []struct {
		trusted, remote string
		want            bool
	}{
		{"::ffff:10.0.0.0/104", "10.1.2.3:80", true},
		{"10.1.2.3/8", "10.9.9.9:80", true}, // bits beyond the prefix are ignored
		{"2001:db8::/32", "[2001:db8::1%eth0]:80", true},
		{"2001:db8::/32", "[2001:db9::1]:80", false},
		{"0.0.0.0/0", "[2001:db9::1]:80", false},
	} {
		r := mustNew(t, "", netip.MustParsePrefix(c.trusted))
		got, ignored := r.Addr(c.remote, h)
		if (got == netip.MustParseAddr("198.51.100.1")) != c.want || ignored == c.want {
			t.Errorf("%s trusted, from %s: got %v (ignored %v)", c.trusted, c.remote, got, ignored)
		}
	}
}

// Without a valid remote address, there is no address, whatever the header
// says.
func TestNoPeer(t *testing.T) {
	t.Parallel()
	r := mustNew(t, "", netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"))
	for _, remote := range []string{"", "@", "/run/trackway.sock", "localhost:80"} {
		if got, _ := r.Addr(remote, http.Header{XForwardedFor: {"198.51.100.1"}}); got.IsValid() {
			t.Errorf("%q: got %v, want no address", remote, got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"header":     {Header: "Via"},
		"trusted[0]": {Trusted: []netip.Prefix{{}}},
		"trusted[1]": {Trusted: []netip.Prefix{ten, netip.MustParsePrefix("::ffff:0.0.0.0/95")}},
	} {
		if _, err := New(cfg); err == nil || !strings.HasPrefix(err.Error(), want+": ") {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	local := netip.MustParsePrefix("127.0.0.0/8")
	r := mustNew(t, "", local, ten)
	for _, c := range []struct{ remote, line, want, advice string }{
		{"203.0.113.7:1", "", "203.0.113.7: the peer", ""},
		{
			"203.0.113.7:1", "6.6.6.6", "203.0.113.7: the peer; X-Forwarded-For is ignored, since the peer is not a trusted proxy",
			`trusted_proxies: ["127.0.0.0/8", "10.0.0.0/8", "203.0.113.7/32"]`,
		},
		{"10.1.2.3:1", "6.6.6.6, 198.51.100.1, 10.8.8.8, 10.9.9.9", "198.51.100.1: X-Forwarded-For from 10.1.2.3, past 10.9.9.9, 10.8.8.8", ""},
		{"10.1.2.3:1", "x, 10.9.9.9", "10.9.9.9: X-Forwarded-For from 10.1.2.3, past 10.9.9.9; the entry cannot be read", ""},
		{"10.1.2.3:1", "10.9.9.9", "10.9.9.9: X-Forwarded-For from 10.1.2.3, past 10.9.9.9; all entries are trusted proxies", ""},
	} {
		h := http.Header{}
		if c.line != "" {
			h.Set(XForwardedFor, c.line)
		}
		e := r.Explain(c.remote, h)
		if e.String() != c.want || e.Advice != c.advice {
			t.Errorf("got  %s\n     %s\nwant %s\n     %s", e, e.Advice, c.want, c.advice)
		}
	}
	long := http.Header{XForwardedFor: {strings.Repeat("10.0.0.1,", 40)[:359]}}
	if e := r.Explain("10.1.2.3:1", long); e.Ended != endTooLong || len(e.Hops) != maxHops {
		t.Errorf("got %d hops, %q; want %d, %q", len(e.Hops), e.Ended, maxHops, endTooLong)
	}
}

func TestAddrDoesNotAllocate(t *testing.T) {
	for header, line := range map[string]string{
		XForwardedFor: "6.6.6.6, 198.51.100.1:4711, 10.9.9.9",
		Forwarded:     `for=192.0.2.43, for="[2001:db8::1]:4711";proto=https, for=10.0.0.1`,
		XRealIP:       "fe80::1%eth0",
	} {
		r := mustNew(t, header, ten)
		h := http.Header{http.CanonicalHeaderKey(header): {line}}
		for _, remote := range []string{"10.1.2.3:80", "[2001:db8::1]:80", "[fe80::1%eth0]:80"} {
			if n := allocs.PerRun(200, func() { r.Addr(remote, h) }); n != 0 {
				t.Errorf("%s from %s: %v allocations, want 0", header, remote, n)
			}
		}
	}
}

func TestKeyOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr string
		bits int
		want string
	}{
		{"192.0.2.1", 64, "192.0.2.1"},
		{"::ffff:192.0.2.1", 48, "192.0.2.1"},
		{"2001:db8:1:2:3:4:5:6", 64, "2001:db8:1:2::/64"},
		{"2001:db8:1:2:3:4:5:6", 48, "2001:db8:1::/48"},
		{"2001:db8:1:2:3:4:5:6", 96, "2001:db8:1:2:3:4::/96"},
		{"2001:db8:1:2:3:4:5:6", 128, "2001:db8:1:2:3:4:5:6/128"},
		{"fe80::1%eth0", 64, "fe80::/64"},
	} {
		if got := KeyOf(netip.MustParseAddr(c.addr), c.bits); got.String() != c.want {
			t.Errorf("%s by %d bits: got %s, want %s", c.addr, c.bits, got, c.want)
		}
	}
	if KeyOf(netip.MustParseAddr("::192.0.2.1"), 128) == KeyOf(netip.MustParseAddr("192.0.2.1"), 128) {
		t.Error("an IPv6 address with an IPv4 tail is taken for that IPv4 address")
	}
	if got := KeyOf(netip.Addr{}, 64); got != (Key{}) || got.Addr().IsValid() {
		t.Errorf("no address has the key %v", got)
	}
}

func BenchmarkAddr(b *testing.B) {
	r := mustNew(b, "", ten, netip.MustParsePrefix("192.168.0.0/16"))
	for name, h := range map[string]http.Header{
		"direct":      {"User-Agent": {"bench"}},
		"two-proxies": {XForwardedFor: {"198.51.100.1, 192.168.1.1"}, "User-Agent": {"bench"}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				r.Addr("10.1.2.3:41234", h)
			}
		})
	}
}
