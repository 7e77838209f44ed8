package clickhouse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"trackway/internal/destination"
)

// BenchmarkBacklog writes batches of 10 000 events, in turn with a bare INSERT
// of the same rows into a table without tokens, versions and syncs. It reports
// both speeds and their ratio.
func BenchmarkBacklog(b *testing.B) {
	e, database := open(b)
	s := newSink(b, settingsOf(e.url(), database))
	prepare(b, s)
	e.query("CREATE TABLE %s.bare (seq UInt64, project LowCardinality(String), customer UInt64, type LowCardinality(String), "+
		"at DateTime64(6, 'UTC'), received_at DateTime64(6, 'UTC'), properties String) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (project, type, at, seq)", database)
	const rows = 10_000
	var ours, bare time.Duration
	number := uint64(0)
	for b.Loop() {
		batch := &destination.Batch{Store: store, After: number}
		for i := range rows {
			number++
			v := event(number)
			v.At = at + 7200_000_000 + v.At%1_000_000_000
			v.Properties = fmt.Appendf(nil, `{"amount":%d.5,"campaign":"spring","page":"https://example.com/products/%d","referrer":"https://example.com/"}`, i, i*7919)
			batch.Events = append(batch.Events, v)
		}
		batch.Through = number
		var body bytes.Buffer
		for _, v := range batch.Events {
			properties, err := json.Marshal(string(v.Properties))
			if err != nil {
				b.Fatal(err)
			}
			fmt.Fprintf(&body, `{"seq":%d,"project":%q,"customer":%d,"type":%q,"at":%q,"received_at":%q,"properties":%s}`+"\n", v.Seq, v.Project, v.Customer, v.Type,
				v.At.Time().Format("2006-01-02 15:04:05.000000"), v.Received.Time().Format("2006-01-02 15:04:05.000000"), properties)
		}

		began := time.Now()
		writeBatch(b, s, batch)
		ours += time.Since(began)

		began = time.Now()
		query := url.Values{"query": {"INSERT INTO " + database + ".bare FORMAT JSONEachRow"}}
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, e.url()+"/?"+query.Encode(), &body)
		if err != nil {
			b.Fatal(err)
		}
		req.Header.Set("X-Clickhouse-User", user)
		req.Header.Set("X-Clickhouse-Key", password)
		resp, err := http.DefaultTransport.RoundTrip(req) //nolint:forbidigo // a test
		if err != nil || resp.StatusCode != http.StatusOK {
			b.Fatal(resp, err)
		}
		_ = resp.Body.Close()
		bare += time.Since(began)
	}
	events := float64(b.N) * rows
	b.ReportMetric(events/ours.Seconds(), "events/s")
	b.ReportMetric(events/bare.Seconds(), "bare-events/s")
	b.ReportMetric(bare.Seconds()/ours.Seconds(), "of-bare")
}
