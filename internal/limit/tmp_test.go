package limit

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"trackway/internal/clientip"
)

func BenchmarkParts(b *testing.B) {
	resolver, _ := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16")}})
	l, headers := New(frontSet(b), 1e5), frontHeaders()
	b.Run("addr", func(b *testing.B) {
		for i := range b.N {
			resolver.Addr("10.1.2.3:41234", headers[i%len(headers)])
		}
	})
	b.Run("parse", func(b *testing.B) {
		for range b.N {
			netip.ParseAddr("10.1.2.3")
		}
	})
	now := time.Now()
	addr := netip.MustParseAddr("20.1.2.9")
	b.Run("allow", func(b *testing.B) {
		for range b.N {
			l.Allow(now, &Call{Method: "POST", Path: "/track/v2/projects/x/batch", Route: "/track/v2/projects/{token}/batch", Addr: addr})
		}
	})
	m := l.moment(now)
	f := l.force.Load()
	b.Run("decide", func(b *testing.B) {
		c := &Call{Method: "POST", Path: "/track/v2/projects/x/batch", Route: "/track/v2/projects/{token}/batch", Addr: addr}
		for range b.N {
			l.decide(&f.policies[1], m, c)
		}
	})
	b.Run("match", func(b *testing.B) {
		for range b.N {
			f.set.match("POST", "/track/v2/projects/x/batch")
		}
	})
	d := l.Allow(now, &Call{Method: "POST", Path: "/track/v2/projects/x/batch", Route: "/track/v2/projects/{token}/batch", Addr: addr})
	b.Run("fields", func(b *testing.B) {
		answer, fields := http.Header{}, new(Fields)
		for range b.N {
			fields.Set(answer, &d)
		}
	})
	b.Run("hash", func(b *testing.B) {
		for i := range uint64(b.N) {
			l.table.Key(1, 0, i, 0)
		}
	})
}
