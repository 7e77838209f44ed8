package file

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/object/objecttest"
)

// visits is what three customers did. Customers 1 and 3 turned out to be one
// person.
func visits() *destination.Batch {
	b := &destination.Batch{Store: storeID, Through: 30}
	add := func(day int, customer trackway.Customer, eventType, properties string) {
		at := trackway.MicrosOf(time.Date(2026, 11, day, 12, len(b.Events), 0, 0, time.UTC))
		b.Events = append(b.Events, destination.Event{
			Seq: uint64(len(b.Events) + 1), Project: "demo", Customer: customer, Type: eventType, At: at, Received: at, Properties: []byte(properties),
		})
	}
	add(2, 1, "page_view", `{}`)
	add(2, 2, "page_view", `{}`)
	add(3, 3, "add_to_cart", `{}`)
	add(3, 1, "purchase", `{"total":12.5}`)
	add(10, 2, "page_view", `{}`)
	add(10, 4, "page_view", `{}`)
	add(17, 1, "purchase", `{"total":"a lot"}`)
	add(17, 2, "purchase", `{"total":0.25}`)
	plan := func(c trackway.Customer, changed uint64, plan, id string) {
		b.Customers = append(b.Customers, destination.Customer{
			Customer: c, Project: "demo", Properties: fmt.Appendf(nil, `{"plan":"%s"}`, plan), Changed: changed,
			IDs: []trackway.Identifier{{Name: "registered", Value: id, Hard: true}},
		})
	}
	plan(1, 21, "pro", "jane")
	plan(2, 22, "free", "joe")
	b.Customers = append(b.Customers, destination.Customer{Customer: 3, Project: "demo", Properties: []byte(`{}`), Changed: 23, Survivor: 1})
	return b
}

// TestDocs runs the queries of the documentation.
func TestDocs(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"destinations-file.md": {
			"2026-11-02|page_view|2|2\n2026-11-03|add_to_cart|1|1\n2026-11-03|purchase|1|1\n2026-11-10|page_view|2|2\n2026-11-17|purchase|2|2",
			"3|1|1",
			"2026-11-02|0|2\n2026-11-02|1|1\n2026-11-02|2|2\n2026-11-09|0|1",
			"jane|pro|False\njoe|free|False",
		},
		"destinations-s3.md": {
			"2026-11-02|page_view|2\n2026-11-03|add_to_cart|1\n2026-11-03|purchase|1\n2026-11-10|page_view|2\n2026-11-17|purchase|2",
			"2026-11-03|12.50\n2026-11-17|0.25",
		},
	}
	for _, format := range []string{"ndjson", "parquet"} {
		d := settings(filepath.Join(t.TempDir(), "o'ut"), format)
		d.Columns = []config.Column{{Type: "purchase", Property: "total", Name: "total", As: "decimal(12,2)"}}
		s, err := New(d, storeID)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(t.Context(), visits()); err != nil {
			t.Fatal(err)
		}
		if m := s.Misfits(); len(m) != 1 || m[0] != (destination.Misfit{Type: "purchase", Property: "total", Values: 1}) {
			t.Errorf("%s: got misfits %v", format, m)
		}
		for page, results := range want {
			text, err := os.ReadFile("../../../docs/" + page)
			if err != nil {
				t.Fatal(err)
			}
			queries := strings.Split(string(text), "```sql\n")[1:]
			if len(queries) != len(results) {
				t.Fatalf("%s has %d queries, and the test knows %d", page, len(queries), len(results))
			}
			for i, query := range queries {
				query, _, _ = strings.Cut(query, "```")
				got := strings.ReplaceAll(objecttest.Text(objecttest.Query(t, s.DDL()+query)), "false", "False")
				if got != results[i] {
					t.Errorf("%s, %s: got\n%s\nwant\n%s\nfrom\n%s", format, page, got, results[i], query)
				}
			}
		}
	}
}
