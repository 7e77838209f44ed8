package limit

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"trackway"
	"trackway/internal/clientip"
)

// BenchmarkFront is the work for a request before authorization: its address
// through two proxies, 10 000 override prefixes, two policies that apply, the
// five fields. Callers differ from call to call.
func BenchmarkFront(b *testing.B) {
	resolver, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16")}})
	if err != nil {
		b.Fatal(err)
	}
	l, headers := New(frontSet(b), 1e5), frontHeaders()
	b.Run("serial", func(b *testing.B) {
		b.ReportAllocs()
		front(resolver, l, headers, func(i int) bool { return i < b.N })
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			front(resolver, l, headers, func(int) bool { return pb.Next() })
		})
	})
	b.Run("refused", func(b *testing.B) {
		b.ReportAllocs()
		front(resolver, l, headers[:1], func(i int) bool { return i < b.N })
	})
}

func front(resolver *clientip.Resolver, l *Limiter, headers []http.Header, more func(i int) bool) {
	answer, fields := http.Header{}, new(Fields)
	now := time.Now()
	for i := 0; more(i); i++ {
		addr, _ := resolver.Addr("10.1.2.3:41234", headers[i%len(headers)])
		d := l.Allow(now, &Call{Method: "POST", Path: "/track/v2/projects/x/batch", Route: "/track/v2/projects/{token}/batch", Addr: addr})
		fields.Set(answer, &d)
	}
}

func frontSet(b *testing.B) *Set {
	b.Helper()
	var overrides []trackway.Override
	for i := range 10_000 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24)
		overrides = append(overrides, trackway.Override{Policy: "track", Address: p, Limit: 60_000})
	}
	also := trackway.Policy{Name: "all", Paths: []string{"/"}, Also: true, Limit: 100_000, Window: time.Minute}
	return mustSetWith(b, overrides, append(published(), also)...)
}

func frontHeaders() []http.Header {
	headers := make([]http.Header, 1024)
	for i := range headers {
		chain := fmt.Sprintf("20.%d.%d.9, 192.168.7.7", i>>8, i&0xff)
		headers[i] = http.Header{"X-Forwarded-For": {chain}, "User-Agent": {"bench"}}
	}
	return headers
}
