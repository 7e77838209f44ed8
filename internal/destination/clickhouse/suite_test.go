package clickhouse_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/destination"
	"trackway/internal/destination/clickhouse"
	"trackway/internal/destination/destinationtest"
)

// TestSuite runs what every kind of destination promises.
func TestSuite(t *testing.T) {
	t.Parallel()
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		t.Helper()
		e, database := open(t)
		p := newProxy(t, e)
		d := settingsOf(p.url, database)
		return &destinationtest.Partner{
			Config: d,
			Open: func() destination.Sink {
				s, err := clickhouse.New(d)
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Tables: func(t *testing.T) *destinationtest.Tables { t.Helper(); return tablesOf(t, e, database) },
			Break:  p.breaking, LeastRows: 100,
		}
	})
}

// breaking makes the proxy fail until the returned function is called.
func (p *proxy) breaking(t *testing.T, f destinationtest.Fault) func() {
	t.Helper()
	switch f {
	case destinationtest.Refused:
		p.set(func(http.ResponseWriter, *http.Request, string) bool { panic(http.ErrAbortHandler) }, nil)
	case destinationtest.Unanswered:
		p.set(nil, func(string) bool { return true })
	case destinationtest.Slow:
		p.set(func(_ http.ResponseWriter, r *http.Request, _ string) bool {
			select {
			case <-r.Context().Done():
			case <-time.After(time.Second):
			}
			return false
		}, nil)
	}
	return func() { p.set(nil, nil) }
}

// tablesOf reads a database with its own queries.
func tablesOf(t *testing.T, e *engine, database string) *destinationtest.Tables {
	t.Helper()
	tables := &destinationtest.Tables{Map: map[trackway.Customer]trackway.Customer{}}
	rows := func(query string, row func() []any, add func()) {
		t.Helper()
		for line := range strings.SplitSeq(e.query("%s FORMAT JSONCompactEachRow SETTINGS output_format_json_quote_64bit_integers = 0", strings.ReplaceAll(query, "DB", database)), "\n") {
			if line == "" {
				continue
			}
			to := row()
			if err := json.Unmarshal([]byte(line), &to); err != nil {
				t.Fatalf("%s: %s: %v", query, line, err)
			}
			add()
		}
	}
	if e.query("EXISTS DATABASE %s", database) == "0" {
		return tables
	}
	var ev destination.Event
	var c destination.Customer
	var er destination.Erasure
	var properties string
	// The events are read without FINAL: each must be there once in any case.
	rows("SELECT seq, project, customer, type, toUnixTimestamp64Micro(at), toUnixTimestamp64Micro(received_at), properties FROM DB.events ORDER BY seq",
		func() []any {
			return []any{&ev.Seq, &ev.Project, &ev.Customer, &ev.Type, &ev.At, &ev.Received, &properties}
		},
		func() { ev.Properties = []byte(properties); tables.Events = append(tables.Events, ev) })
	rows("SELECT customer, project, properties, toUnixTimestamp64Micro(created_at), changed, erased FROM DB.current_customers",
		func() []any { return []any{&c.Customer, &c.Project, &properties, &c.Created, &c.Changed, &c.Erased} },
		func() { c.Properties = []byte(properties); tables.Customers = append(tables.Customers, c) })
	var id destinationtest.ID
	rows("SELECT customer, name, value FROM DB.current_ids", func() []any { return []any{&id.Customer, &id.Name, &id.Value} },
		func() { tables.IDs = append(tables.IDs, id) })
	var absorbed, survivor trackway.Customer
	rows("SELECT customer, survivor FROM DB.customer_map FINAL", func() []any { return []any{&absorbed, &survivor} },
		func() { tables.Map[absorbed] = survivor })
	rows("SELECT erasure, project, customer, toUnixTimestamp64Micro(asked_at), ifNull(toUnixTimestamp64Micro(done_at), 0) FROM DB.erasures FINAL",
		func() []any { return []any{&er.ID, &er.Project, &er.Customer, &er.Asked, &er.Done} }, func() { tables.Erasures = append(tables.Erasures, er) })
	return tables
}
