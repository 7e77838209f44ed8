package client

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// acknowledging answers every batch with success and costs nothing.
type acknowledging struct{}

func (acknowledging) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := unzipped(r)
	if err != nil {
		return nil, err
	}
	n := strings.Count(string(body), `"name":`)
	return reply(http.StatusOK, http.Header{}, `{"results":[`+strings.TrimSuffix(strings.Repeat(`{"success":true},`, n),
		",")+`],"success":true}`), nil
}

// BenchmarkTrack measures an event from the call to its acknowledgment, without
// the server's part. On disk this includes a write for each event, but only one
// sync a second.
func BenchmarkTrack(b *testing.B) {
	for _, where := range []string{"memory", "disk"} {
		b.Run(where, func(b *testing.B) {
			o := Options{URL: "http://ts1", Project: testProject, Token: testToken, Transport: acknowledging{}, WhenFull: Block}
			if where == "disk" {
				o.Dir = b.TempDir()
			}
			c, err := New(o)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			ids, properties := IDs{"registered": "jane"}, Properties{"total": 7.99, "items": 3, "currency": "EUR"}
			for i := 0; b.Loop(); i++ {
				if err := c.Track(ids, "purchase", properties); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Close(b.Context()); err != nil {
				b.Fatal(fmt.Errorf("close: %w", err))
			}
		})
	}
}
