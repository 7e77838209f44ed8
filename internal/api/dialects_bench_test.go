package api

import (
	"fmt"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/format"
	"trackway/internal/format/segment"
	"trackway/internal/format/tracking"
)

// BenchmarkDialects compares the cost of the same event in each dialect, in
// batches of fifty: the events that reach the store are equal.
func BenchmarkDialects(b *testing.B) {
	const n = trackway.MaxCommands
	const context = `{"library":{"name":"@segment/analytics-node","version":"3.1.0"}}`
	of := func(begin, each, end string) []byte {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(each, i, i))
		}
		return []byte(begin + strings.Join(all, ",") + end)
	}
	const id = `"node-next-1795935717568-41b23875-3110-4ee3-a161-%06d"`
	const properties = `"currency":"EUR","order":"o-7183","total":7.99`
	benchmark(b, n, []benchmarked{
		{"tracking", tracking.Batch, of(`{"commands":[`, `{"name":"customers/events","data":{"customer_ids":{"cookie":"a-1","registered":"jane@example.com"},`+
			`"event_type":"Order Completed","properties":{"context":`+context+`,"currency":"EUR","message_id":`+id+`,"order":"o-7183","total":7.99},"timestamp":1795935717.%06d}}`, `]}`)},
		{"segment", segment.Batch, of(`{"batch":[`, `{"timestamp":"2026-11-29T07:01:57.566Z","integrations":{},"event":"Order Completed","type":"track",`+
			`"properties":{`+properties+`},"context":`+context+`,"userId":"jane@example.com","anonymousId":"a-1","messageId":`+id+
			`,"_metadata":{"nodeVersion":"v20.20.2","jsRuntime":"node","n":%d}}`, `],"writeKey":"public-key-7d1f0c52aa","sentAt":"2026-11-29T07:01:58.000Z"}`)},
	})
}

// benchmarked is a body in one of the dialects.
type benchmarked struct {
	name   string
	format *format.Format
	body   []byte
}

// benchmark measures what it costs to take bodies of n messages.
func benchmark(b *testing.B, n int, bodies []benchmarked) {
	b.Helper()
	grant := &auth.Grant{
		Project: &trackway.Project{User: "registered", Device: "cookie"}, Key: &trackway.Key{Kind: trackway.PublicKey},
	}
	for _, c := range bodies {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := track(discard{}, c.format, grant, 1_795_935_718_000_000, c.body, func() {}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
		})
	}
}
