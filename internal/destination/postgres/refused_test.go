package postgres_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/destination"
)

// TestCustomersRefused: the operator has added an index on a property of
// customers, and a value is too long for it.
func TestCustomersRefused(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	d.SQL(t, "CREATE INDEX ON customers ((properties->>'email'))")
	b := numbered(0, 3)
	b.Through = 20
	for i := range uint64(12) {
		email := fmt.Sprint(i, "@example.com")
		if i == 7 {
			email = incompressible()
		}
		b.Customers = append(b.Customers, destination.Customer{
			Customer: trackway.Customer(i + 1), Project: "demo", Changed: 4 + i, Properties: fmt.Appendf(nil, `{"email":%q}`, email),
			IDs: []trackway.Identifier{{Name: "cookie", Value: strconv.FormatUint(i, 10)}},
		})
	}
	for range 2 {
		rejects := write(t, s, b)
		if len(rejects) != 1 || rejects[0].Number != 11 || rejects[0].Table != "customers" || !strings.Contains(rejects[0].Reason, "index row") {
			t.Fatalf("got rejects %v, want number 11 of customers", rejects)
		}
		expect(t, d, "SELECT count(*), sum(customer) FROM customers", "11|70")
		expect(t, d, "SELECT count(*), sum(customer) FROM customer_ids", "11|70")
		expect(t, d, "SELECT count(*) FROM events", "3")
	}
}

// incompressible returns a long text that does not fit into an index.
func incompressible() string {
	var long strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&long, "%x", i*i*7919)
	}
	return long.String()
}

// TestManyTooLong has very many rows that are too long for an index, more than
// the number of other unfit rows that a batch may have. Anyone can send such
// rows.
func TestManyTooLong(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	d.SQL(t, "CREATE INDEX ON events ((properties->>'page'))")
	b := numbered(0, 300)
	long := incompressible()
	for i := range 150 {
		b.Events[2*i].Properties = fmt.Appendf(nil, `{"n":%d,"page":%q}`, 2*i+1, long)
	}
	if rejects := write(t, s, b); len(rejects) != 150 {
		t.Errorf("got %d rejects", len(rejects))
	}
	expect(t, d, "SELECT count(*), count(*) FILTER (WHERE seq % 2 = 0) FROM events", "150|150")
}
