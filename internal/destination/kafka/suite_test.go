package kafka

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/destinationtest"
	"trackway/internal/destination/kafka/kafkatest"
)

// TestSuite runs the conformance suite against the fake.
func TestSuite(t *testing.T) {
	t.Parallel()
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		t.Helper()
		c := newCluster(t)
		return partner(c.url(), c.url(), "")
	})
}

// TestSuiteReal runs it against a real broker.
func TestSuiteReal(t *testing.T) {
	t.Parallel()
	b := kafkatest.Start(t)
	var n atomic.Int32
	destinationtest.Run(t, func(t *testing.T) *destinationtest.Partner {
		t.Helper()
		p := partner(b.ProxiedURL(), b.URL(), fmt.Sprintf("t%d.", n.Add(1)))
		p.Slow = true
		p.Break = func(t *testing.T, f destinationtest.Fault) func() {
			t.Helper()
			b.Proxy.Set(map[destinationtest.Fault]kafkatest.Fault{
				destinationtest.Refused: kafkatest.Refused, destinationtest.Unanswered: kafkatest.Unanswered, destinationtest.Slow: kafkatest.Slow,
			}[f])
			return func() { b.Proxy.Set(kafkatest.None) }
		}
		return p
	})
}

// partner returns a destination that writes through one URL and reads through
// another.
func partner(writing, reading, prefix string) *destinationtest.Partner {
	d := config.Destination{Name: "out", Kind: "kafka", URL: writing, Prefix: prefix}
	return &destinationtest.Partner{
		Config: d,
		Lacks:  destinationtest.Lacks{Rewriting: true},
		Open: func() destination.Sink {
			s, err := New(&d, storeID)
			if err != nil {
				panic(err)
			}
			return s
		},
		Tables: func(t *testing.T) *destinationtest.Tables {
			t.Helper()
			return tablesOf(t, consume(t, reading, prefix))
		},
	}
}

// tablesOf converts records to tables. In the compacted topics, the last record
// of each key counts.
func tablesOf(t *testing.T, rows map[string][]row) *destinationtest.Tables {
	t.Helper()
	tables := &destinationtest.Tables{Map: make(map[trackway.Customer]trackway.Customer)}
	for _, r := range rows[events] {
		v := decode(t, r)
		tables.Events = append(tables.Events, destination.Event{
			Seq: v.Seq, Project: v.Project, Customer: v.Customer, Type: v.Type, At: micros(t, v.At), Received: micros(t, v.Received), Properties: v.Properties,
		})
	}
	for _, v := range latest(t, rows[customers]) {
		tables.Customers = append(tables.Customers, destination.Customer{
			Customer: v.Customer, Project: v.Project, Properties: v.Properties, Created: micros(t, v.Created), Changed: v.Changed, Erased: v.Erased,
		})
	}
	for _, v := range latest(t, rows[customerIDs]) {
		for _, id := range v.IDs {
			tables.IDs = append(tables.IDs, destinationtest.ID{Customer: v.Customer, Name: id.Name, Value: id.Value})
		}
	}
	for _, v := range latest(t, rows[customerMap]) {
		tables.Map[v.Customer] = v.Survivor
	}
	for _, v := range latest(t, rows[erasures]) {
		tables.Erasures = append(tables.Erasures, destination.Erasure{ID: v.Erasure, Project: v.Project, Customer: v.Customer, Asked: micros(t, v.Asked), Done: micros(t, v.Done)})
	}
	return tables
}

// value has the members of the values of all topics.
type value struct {
	Seq, Erasure, Changed uint64
	Customer, Survivor    trackway.Customer
	Project, Type         string
	At, Asked, Done       string
	Created               string `json:"created_at"`
	Received              string `json:"received_at"`
	AskedAt               string `json:"asked_at"`
	DoneAt                string `json:"done_at"`
	Properties            json.RawMessage
	IDs                   []struct{ Name, Value string }
	Erased                bool
}

func decode(t *testing.T, r row) value {
	t.Helper()
	var v value
	if err := json.Unmarshal(r.raw, &v); err != nil {
		t.Fatal(err)
	}
	v.Asked, v.Done = v.AskedAt, v.DoneAt
	if key := strconv.FormatUint(max(uint64(v.Customer), v.Erasure), 10); r.topic != erasures && r.key != key {
		t.Errorf("a record of customer %d has the key %s", v.Customer, r.key)
	}
	return v
}

func latest(t *testing.T, rows []row) map[string]value {
	t.Helper()
	values := make(map[string]value)
	for _, r := range rows {
		if r.raw == nil {
			delete(values, r.key)
		} else {
			values[r.key] = decode(t, r)
		}
	}
	return values
}

func micros(t *testing.T, text string) trackway.Micros {
	t.Helper()
	if text == "" {
		return 0
	}
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Error(err)
	}
	return trackway.MicrosOf(at)
}
