package api

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"trackway"
	"trackway/internal/format/otlp"
	"trackway/internal/format/posthog"
	"trackway/internal/format/tracking"
)

// BenchmarkMoreDialects compares the cost of the same event in PostHog's and
// OpenTelemetry's formats with that in the tracking API, in batches of fifty.
func BenchmarkMoreDialects(b *testing.B) {
	const n = trackway.MaxCommands
	of := func(begin, each, end string) []byte {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(each, i))
		}
		return []byte(begin + strings.Join(all, ",") + end)
	}
	const id = `"0190a000-0000-7000-8000-%012d"`
	const properties = `"currency":"EUR","$lib":"posthog-node","$lib_version":"5.70.0","order":"o-7183","total":7.99,"url":"https://shop.example.com/shoes?color=blue"`
	const sorted = `"$lib":"posthog-node","$lib_version":"5.70.0","currency":"EUR","message_id":` + id + `,"order":"o-7183","total":7.99,"url":"https://shop.example.com/shoes?color=blue"`
	attribute := func(key, value string) string {
		return `{"key":"` + key + `","value":{"stringValue":"` + value + `"}}`
	}
	attributes := attribute("currency", "EUR") + `,` + attribute("$lib", "posthog-node") + `,` + attribute("$lib_version", "5.70.0") + `,` + attribute("order", "o-7183") +
		`,{"key":"total","value":{"doubleValue":7.99}},` + attribute("url", "https://shop.example.com/shoes?color=blue") + `,` + attribute("user.id", "jane@example.com")
	benchmark(b, n, []benchmarked{
		{"tracking", tracking.Batch, of(`{"commands":[`, `{"name":"customers/events","data":{"customer_ids":{"registered":"jane@example.com"},`+
			`"event_type":"Order Completed","properties":{`+sorted+`},"timestamp":1795935717.566}}`, `]}`)},
		{"posthog", posthog.Capture, of(`{"api_key":"k","batch":[`, `{"event":"Order Completed","properties":{`+properties+
			`},"timestamp":"2026-11-29T07:01:57.566Z","uuid":`+id+`,"distinct_id":"jane@example.com"}`, `],"sent_at":"2026-11-29T07:01:58.000Z"}`)},
		{"otlp-json", otlp.JSON, of(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[`, `{"timeUnixNano":"1795935717566000000","eventName":"Order Completed","attributes":[`+
			attributes+`,{"key":"log.record.uid","value":{"stringValue":`+id+`}}]}`, `]}]}]}`)},
		{"otlp-proto", otlp.Proto, logRecords(n)},
	})
}

// logRecords returns a protocol buffer with the benchmark's records.
func logRecords(n int) []byte {
	part := func(dst []byte, id protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, id, protowire.BytesType), content)
	}
	var logs []byte
	for i := range n {
		record := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 1_795_935_717_566_000_000)
		add := func(key string, value []byte) { record = part(record, 6, part(part(nil, 1, []byte(key)), 2, value)) }
		text := func(key, value string) { add(key, part(nil, 1, []byte(value))) }
		text("currency", "EUR")
		text("$lib", "posthog-node")
		text("$lib_version", "5.70.0")
		text("order", "o-7183")
		add("total", protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(7.99)))
		text("url", "https://shop.example.com/shoes?color=blue")
		text("user.id", "jane@example.com")
		text("log.record.uid", fmt.Sprintf("0190a000-0000-7000-8000-%012d", i))
		logs = part(logs, 2, part(record, 12, []byte("Order Completed")))
	}
	return part(nil, 1, part(nil, 2, logs))
}
