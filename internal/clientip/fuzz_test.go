package clientip

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// FuzzAddr: no header makes the walk fail, produce an address from nothing, or
// go beyond what a trusted proxy added.
func FuzzAddr(f *testing.F) {
	for _, seed := range []string{
		"", ",", "6.6.6.6", "6.6.6.6, 10.0.0.1", `for="`, `for="[2001:db8::1]:80";by=x, for=10.0.0.1`, `\"\\"`, "fe80::1%", "[::]:", "1.2.3.4:5",
		strings.Repeat("10.0.0.1,", 300),
	} {
		f.Add("10.1.2.3:80", seed)
	}
	resolvers := map[string]*Resolver{}
	for _, header := range []string{XForwardedFor, Forwarded, XRealIP, CFConnectingIP} {
		resolvers[header] = mustNew(f, header, ten)
	}
	proxy := netip.MustParseAddr("198.51.100.1")
	f.Fuzz(func(t *testing.T, remote, line string) {
		for header, r := range resolvers {
			field := http.CanonicalHeaderKey(header)
			got, ignored := r.Addr(remote, http.Header{field: {line}})
			checkAddr(t, got)
			if e := r.Explain(remote, http.Header{field: {line}}); e.Addr != got || e.Ignored != ignored || len(e.Hops) > maxHops {
				t.Fatalf("%s: got %v (ignored %v), but the explanation is %+v", header, got, ignored, e)
			}
			if peer, ok := parse(remote); ok && !ten.Contains(peer) && got != peer {
				t.Fatalf("%s: the untrusted peer %v chose %v", header, peer, got)
			}
		}
		for header, added := range map[string]string{XForwardedFor: ", 198.51.100.1", Forwarded: ", for=198.51.100.1"} {
			if got, _ := resolvers[header].Addr("10.1.2.3:80", http.Header{header: {line + added}}); got != proxy {
				t.Fatalf("%s: the caller got around what the proxy added: %v", header, got)
			}
		}
	})
}

func checkAddr(t *testing.T, a netip.Addr) {
	t.Helper()
	if a.Is4In6() || a.Zone() != "" || (a.IsValid() && a.IsUnspecified()) {
		t.Fatalf("%v is not in the form that is promised", a)
	}
}

// FuzzParse compares parse with netip, after port and brackets are removed.
// Both must accept the same texts and return the same addresses. There are two
// differences: a port of more than five digits, which RFC 7239 section 6.3 does
// not allow, and a zone with a bracket, which no URI can hold (RFC 6874).
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"1.2.3.4", "1.2.3.4:5", "010.1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3", "[2001:db8::1]:80", "::ffff:c633:6401", "fe80::1%eth0", " 1.2.3.4\t", "0.1.0.0:000000", "[::1]:000080", "[1::%]]:0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parse(s)
		want, err := netip.ParseAddr(strings.Trim(s, " \t"))
		if err != nil {
			pair, pairErr := netip.ParseAddrPort(strings.Trim(s, " \t"))
			if port := s[strings.LastIndexByte(s, ':')+1:]; pairErr == nil && len(strings.TrimRight(port, " \t")) <= 5 {
				want, err = pair.Addr(), nil
			}
		}
		if strings.Contains(want.Zone(), "]") {
			return
		}
		if err == nil {
			want = want.Unmap().WithZone("")
		}
		switch {
		case err == nil && !want.IsUnspecified() && (!ok || got != want):
			t.Errorf("%q: got %v %v, want %v", s, got, ok, want)
		case ok && err == nil && got != want:
			t.Errorf("%q: got %v, netip reads %v", s, got, want)
		}
	})
}
