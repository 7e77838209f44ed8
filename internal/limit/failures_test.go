package limit

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"trackway/internal/clientip"
)

// visit holds the parts of a call that show its origin.
type visit struct {
	remote string
	lines  []string // of X-Forwarded-For
}

// failure is a known mistake of other limiters: visits, the number of their
// callers, and the name that a limiter with the mistake would give a caller.
type failure struct {
	name    string
	visits  []visit
	callers int
	mistake func(visit) string
}

// many returns ten visits that differ in one number.
func many(remote string, lines ...string) (visits []visit) {
	for i := range 10 {
		number := strconv.Itoa(i)
		v := visit{remote: strings.ReplaceAll(remote, "#", number)}
		for _, line := range lines {
			v.lines = append(v.lines, strings.ReplaceAll(line, "#", number))
		}
		visits = append(visits, v)
	}
	return visits
}

var failures = []failure{
	{
		name:    "only the first line of the header is read: the caller writes it himself",
		visits:  many("127.0.0.1:4000", "6.6.6.#", "198.51.100.1"),
		callers: 1,
		mistake: func(v visit) string { return http.Header{"X-Forwarded-For": v.lines}.Get("X-Forwarded-For") },
	},
	{
		name:    "the leftmost entry is believed: the caller writes it himself",
		visits:  many("127.0.0.1:4000", "6.6.6.#, 198.51.100.1"),
		callers: 1,
		mistake: func(v visit) string { entry, _, _ := strings.Cut(v.lines[0], ","); return entry },
	},
	{
		name:    "all mapped addresses are one IPv6 network, and so one caller",
		visits:  many("[::ffff:198.51.100.#]:4000"),
		callers: 10,
		mistake: func(v visit) string {
			p, _ := netip.MustParseAddrPort(v.remote).Addr().Prefix(64)
			return p.String()
		},
	},
	{
		name:    "a mapped address is another caller than the same address without",
		visits:  append(many("[::ffff:198.51.100.#]:4000"), many("198.51.100.#:4000")...),
		callers: 10,
		mistake: func(v visit) string { host, _, _ := net.SplitHostPort(v.remote); return host },
	},
	{
		name:    "the port of the connection is part of the key: each connection is another caller",
		visits:  many("198.51.100.1:400#"),
		callers: 1,
		mistake: func(v visit) string { return v.remote },
	},
	{
		name:    "a port in the header is part of the key",
		visits:  many("127.0.0.1:4000", "198.51.100.1:400#"),
		callers: 1,
		mistake: func(v visit) string { return v.lines[0] },
	},
	{
		name:    "what cannot be read is an empty key, which all share",
		visits:  many("127.0.0.#:4000", "unknown"),
		callers: 10, // the proxies: their entries count up to the first malformed one
		mistake: func(v visit) string {
			a, _ := netip.ParseAddr(v.lines[0])
			return a.String()
		},
	},
	{
		name:    "no address at all is an empty key, which all share",
		visits:  many("@"),
		callers: 10,
		mistake: func(v visit) string { host, _, _ := net.SplitHostPort(v.remote); return host },
	},
}

// The limiter makes none of the known mistakes of other limiters, and the test
// detects a limiter that makes one.
func TestKnownFailures(t *testing.T) {
	t.Parallel()
	resolver, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	p := api()
	p.Limit = 1
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			l, now := New(mustSet(t, p), 100), time.Now()
			admitted, mistaken := 0, make(map[string]bool)
			for _, v := range f.visits {
				addr, _ := resolver.Addr(v.remote, http.Header{"X-Forwarded-For": v.lines})
				if d := l.Allow(now, &Call{Method: "GET", Path: "/api/x", Addr: addr}); d.Allowed {
					admitted++
				}
				mistaken[f.mistake(v)] = true
			}
			if admitted != f.callers {
				t.Errorf("%d of %d calls were admitted, want one for each of %d callers", admitted, len(f.visits), f.callers)
			}
			if len(mistaken) == f.callers {
				t.Error("the mistake would not be found out")
			}
		})
	}
}
