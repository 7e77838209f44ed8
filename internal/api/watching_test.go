package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"trackway"
)

// BenchmarkRefused measures a refused request of a flood, except for the
// network.
func BenchmarkRefused(b *testing.B) {
	f := newFixture(b, trackway.Policy{Name: "track", Paths: []string{"/track/"}, Limit: 1, Window: 24 * time.Hour, AllowBelowFloor: true})
	r := httptest.NewRequest(http.MethodPost, trackBase+"customers/events", http.NoBody)
	r.Header.Set("Authorization", "Token "+publicToken)
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	r.Header.Set("User-Agent", "flood")
	w := discardWriter{}
	b.ReportAllocs()
	for b.Loop() {
		clear(w)
		f.Server.ServeHTTP(w, r)
	}
}
