package main

import (
	"encoding/base64"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"trackway/bench/running"
)

// dialect is how clients of a product send messages.
type dialect struct {
	name          string
	batch, single string // paths
	media, key    string // header fields; the key may also be in the body
	body          func(start time.Time, first, size int) []byte
}

// The parts of an event that all dialects have in common. They differ by their
// number, which is in their time and their id. The events of many customers
// mix.
const (
	name  = "Order Completed"
	page  = "https://shop.example.com/shoes?color=blue"
	order = "o-7183"
	total = 7.99
)

func at(start time.Time, n int) time.Time {
	return start.Add(-2*time.Minute + time.Duration(n)*time.Millisecond).Truncate(time.Millisecond)
}
func id(n int) string          { return fmt.Sprintf("0190a000-0000-7000-8000-%012d", n) }
func user(n int) string        { return fmt.Sprintf("jane-%d@example.com", n*7919%10_000) }
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

const properties = `"currency":"EUR","lib":"analytics-node","lib_version":"5.70.0","order":"` + order + `","total":7.99,"url":"` + page + `"`

var dialects = []dialect{
	{
		name: "tracking", batch: "/track/v2/projects/" + running.Project + "/batch", single: "/track/v2/projects/" + running.Project + "/customers/events",
		media: "application/json", key: "Token " + running.Token,
		body: func(start time.Time, first, size int) []byte {
			event := func(n int) string {
				return fmt.Sprintf(`{"customer_ids":{"registered":%q},"event_type":%q,"timestamp":%.3f,"properties":{"message_id":%q,`+properties+`}}`,
					user(n), name, float64(at(start, n).UnixMilli())/1000, id(n))
			}
			if size == 1 {
				return []byte(event(first))
			}
			return []byte(`{"commands":[` + join(first, size, func(n int) string { return `{"name":"customers/events","data":` + event(n) + `}` }) + `]}`)
		},
	},
	{
		name: "segment", batch: "/v1/batch", single: "/v1/track", media: "application/json",
		key: "Basic " + base64.StdEncoding.EncodeToString([]byte(running.Token+":")),
		body: func(start time.Time, first, size int) []byte {
			message := func(n int) string {
				return fmt.Sprintf(`{"type":"track","userId":%q,"event":%q,"timestamp":%q,"messageId":%q,"properties":{`+properties+`}}`,
					user(n), name, stamp(at(start, n)), id(n))
			}
			if size == 1 {
				return []byte(message(first))
			}
			return []byte(`{"batch":[` + join(first, size, message) + `],"sentAt":"` + stamp(time.Now()) + `"}`)
		},
	},
	{
		name: "posthog", batch: "/batch/", single: "/i/v0/e/", media: "application/json",
		body: func(start time.Time, first, size int) []byte {
			message := func(n int) string {
				return fmt.Sprintf(`"event":%q,"distinct_id":%q,"timestamp":%q,"uuid":%q,"properties":{`+properties+`}}`,
					name, user(n), stamp(at(start, n)), id(n))
			}
			const key = `{"api_key":"` + running.Token + `",`
			if size == 1 {
				return []byte(key + message(first))
			}
			return []byte(key + `"batch":[` + join(first, size, func(n int) string { return `{` + message(n) }) + `],"sent_at":"` + stamp(time.Now()) + `"}`)
		},
	},
	{
		name: "otlp-json", batch: "/v1/logs", single: "/v1/logs", media: "application/json", key: "Token " + running.Token,
		body: func(start time.Time, first, size int) []byte {
			text := func(key, value string) string {
				return fmt.Sprintf(`{"key":%q,"value":{"stringValue":%q}}`, key, value)
			}
			record := func(n int) string {
				return fmt.Sprintf(`{"timeUnixNano":"%d","eventName":%q,"attributes":[%s,%s,%s,%s,%s,%s,%s,{"key":"total","value":{"doubleValue":7.99}}]}`,
					at(start, n).UnixNano(), name, text("user.id", user(n)), text("log.record.uid", id(n)), text("currency", "EUR"),
					text("lib", "analytics-node"), text("lib_version", "5.70.0"), text("order", order), text("url", page))
			}
			return []byte(`{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[` + join(first, size, record) + `]}]}]}`)
		},
	},
	{
		name: "otlp-proto", batch: "/v1/logs", single: "/v1/logs", media: "application/x-protobuf", key: "Token " + running.Token,
		body: func(start time.Time, first, size int) []byte {
			part := func(dst []byte, id protowire.Number, content []byte) []byte {
				return protowire.AppendBytes(protowire.AppendTag(dst, id, protowire.BytesType), content)
			}
			var logs []byte
			for n := first; n < first+size; n++ {
				record := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), uint64(at(start, n).UnixNano()))
				add := func(key string, value []byte) { record = part(record, 6, part(part(nil, 1, []byte(key)), 2, value)) }
				text := func(key, value string) { add(key, part(nil, 1, []byte(value))) }
				text("user.id", user(n))
				text("log.record.uid", id(n))
				text("currency", "EUR")
				text("lib", "analytics-node")
				text("lib_version", "5.70.0")
				text("order", order)
				text("url", page)
				add("total", protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(total)))
				logs = part(logs, 2, part(record, 12, []byte(name)))
			}
			return part(nil, 1, part(nil, 2, logs))
		},
	},
}
