package postgres_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/postgres"
	"trackway/internal/destination/postgres/postgrestest"
)

// TestGuide runs all statements of the guide, as readers do, and compares the
// answers to its queries.
func TestGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../../docs/destinations-postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	server := postgrestest.Start(t)
	next := func(database string) string {
		t.Helper()
		if len(blocks) == 0 {
			t.Fatal("a statement is missing in the guide")
		}
		statement := blocks[0][1]
		blocks = blocks[1:]
		var lines []string
		for _, row := range server.SQL(t, database, statement) {
			lines = append(lines, strings.Join(row, "|"))
		}
		return strings.Join(lines, "\n")
	}
	next("postgres") // the role and the database
	s, err := postgres.New(config.Destination{
		Name: "warehouse", URL: fmt.Sprintf("postgres://trackway:change%%20me@127.0.0.1:%d/warehouse?sslmode=disable", server.Port),
		Columns: []config.Column{{Type: "purchase", Property: "total", As: "decimal(12,2)"}, {Property: "page", As: "text"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(t.Context(), shop()); err != nil {
		t.Fatal(err)
	}
	next("warehouse") // the reader's role
	for _, want := range []string{
		// Customers 1 and 4 are one person.
		`2026-03-02|cart_add|1|1
2026-03-02|page_view|4|3
2026-03-03|purchase|1|1
2026-03-10|cart_add|1|1
2026-03-16|page_view|1|1`,
		"3|1|1",
		`2026-03-02|0|3
2026-03-02|1|1
2026-03-02|2|1`,
		"2026-03-03|129.95",
		`2026-03-02 00:00:03+00|page_view|{"page": "/"}
2026-03-02 00:00:06+00|page_view|{"page": "/"}
2026-03-02 01:00:00+00|cart_add|{}
2026-03-03 00:00:00+00|purchase|{"total": 129.95, "currency": "EUR"}
2026-03-16 00:00:00+00|page_view|{}`,
	} {
		if got := next("warehouse"); got != want {
			t.Errorf("got:\n%s\nwant:\n%s", got, want)
		}
	}
	if len(blocks) != 0 {
		t.Errorf("the guide has %d statements that no test compares", len(blocks))
	}
	if _, err := s.Write(t.Context(), &destination.Batch{Store: storeID, After: 20, Through: 21, Events: []destination.Event{event(21, "visit", "{}")}}); err != nil {
		t.Error(err)
	}
}

// shop returns the events of three people. One of them was two customers
// before.
func shop() *destination.Batch {
	const day = 24 * 60 * 60 * 1_000_000
	monday := trackway.Micros(1_772_409_600_000_000) // 2026-03-02
	b := &destination.Batch{Store: storeID, Through: 20}
	add := func(customer trackway.Customer, eventType string, after trackway.Micros, properties string) {
		b.Events = append(b.Events, destination.Event{
			Seq: uint64(len(b.Events) + 1), Project: "demo", Customer: customer, Type: eventType, At: monday + after, Received: monday + after, Properties: []byte(properties),
		})
	}
	add(1, "page_view", 3_000_000, `{"page":"/"}`)
	add(2, "page_view", 4_000_000, `{"page":"/"}`)
	add(3, "page_view", 5_000_000, `{"page":"/"}`)
	add(4, "page_view", 6_000_000, `{"page":"/"}`)
	add(4, "cart_add", day/24, `{}`)
	add(1, "purchase", day, `{"currency":"EUR","total":129.95}`)
	add(2, "cart_add", 8*day, `{}`) // too late
	add(1, "page_view", 14*day, `{}`)
	b.Customers = []destination.Customer{
		{Customer: 4, Project: "demo", Survivor: 1, Properties: []byte("{}"), Changed: 9},
		{Customer: 1, Project: "demo", Properties: []byte("{}"), Changed: 10, IDs: []trackway.Identifier{{Name: "registered", Value: "jane@example.com", Hard: true}}},
	}
	return b
}
