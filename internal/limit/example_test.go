package limit_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"trackway"
	"trackway/internal/limit"
)

// newLimiter allows two calls in 30 seconds by each address.
func newLimiter(now time.Time) *limit.Limiter {
	set, err := limit.NewSet([]trackway.Policy{
		{Name: "api", Paths: []string{"/api/"}, Limit: 2, Window: 30 * time.Second, Per: trackway.PerIP},
	}, nil)
	if err != nil {
		panic(err)
	}
	return limit.NewAt(now, set, 1000)
}

func ExampleLimiter_Allow() {
	now := time.Date(2026, 11, 28, 20, 15, 0, 0, time.UTC)
	l := newLimiter(now)
	call := limit.Call{Method: http.MethodGet, Path: "/api/limits", Addr: netip.MustParseAddr("203.0.113.7")}
	for range 3 {
		d := l.Allow(now, &call)
		fmt.Println(d.Allowed, d.Remaining, d.Wait)
	}
	other := call
	other.Addr = netip.MustParseAddr("203.0.113.8") // has its own count
	d := l.Allow(now, &other)
	fmt.Println(d.Allowed, d.Remaining, d.Wait)
	// Output:
	// true 1 30s
	// true 0 30s
	// false 0 30s
	// true 1 30s
}

// A decision writes the fields that let clients pace themselves.
func ExampleFields_Set() {
	now := time.Date(2026, 11, 28, 20, 15, 0, 0, time.UTC)
	l := newLimiter(now)
	d := l.Allow(now, &limit.Call{Method: http.MethodGet, Path: "/api/limits", Addr: netip.MustParseAddr("203.0.113.7")})
	header := make(http.Header)
	var room limit.Fields
	room.Set(header, &d)
	fmt.Println(header["RateLimit"], header["RateLimit-Policy"])
	// Output: ["api";r=1;t=30] ["api";q=2;w=30]
}
