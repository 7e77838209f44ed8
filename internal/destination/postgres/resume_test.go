package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/destination"
)

// TestResume: a Trackway was replaced, and the operator lets it take over
// again.
func TestResume(t *testing.T) {
	t.Parallel()
	d := database(t)
	first, second := open(t, d), open(t, d)
	write(t, first, numbered(0, 10))
	write(t, second, numbered(10, 20))
	for range 2 { // preparing and checking, for example after an error, replace nobody
		if p, err := first.Prepare(t.Context()); err != nil || p.Number != 20 {
			t.Fatalf("got position %v and %v", p, err)
		}
		if err := first.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	_, err := first.Write(t.Context(), numbered(20, 30))
	expectFinal(t, err, "another Trackway has begun to write")
	if _, err := first.Prepare(t.Context()); err != nil { // it was resumed
		t.Fatal(err)
	}
	write(t, first, numbered(20, 30))
	_, err = second.Write(t.Context(), numbered(30, 40))
	expectFinal(t, err, "another Trackway has begun to write")
	expectEvents(t, d, 30, 30)
}

// TestCursorRowDeleted: an operator deletes the position. The first write
// stops. After resuming, everything is written again.
func TestCursorRowDeleted(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	write(t, s, numbered(0, 10))
	d.SQL(t, "DELETE FROM trackway_position")
	_, err := s.Write(t.Context(), numbered(10, 20))
	if _, final := errors.AsType[*destination.FinalError](err); !final {
		t.Fatalf("got %v", err)
	}
	p, err := s.Prepare(t.Context())
	if err != nil || p != (destination.Position{}) {
		t.Fatalf("got position %v and %v", p, err)
	}
	write(t, s, numbered(0, 20))
	expectEvents(t, d, 20, 20)
}

// TestOlderPosition: an operator restores an older dump of the tables while the
// server is writing.
func TestOlderPosition(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	write(t, s, numbered(0, 10))
	write(t, s, numbered(10, 20))
	d.SQL(t, "DELETE FROM events WHERE seq > 10; UPDATE trackway_position SET number = 10")
	if _, err := s.Write(t.Context(), numbered(20, 30)); err == nil || !strings.Contains(err.Error(), "before the batch") {
		t.Errorf("got %v", err)
	}
	p, err := s.Prepare(t.Context())
	if err != nil || p.Number != 10 {
		t.Errorf("got position %v and %v", p, err)
	}
}

// TestRestoredStore continues after a store was restored from a backup. Its
// customers have the numbers of others that were lost.
func TestRestoredStore(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	customer := func(number trackway.Customer, changed uint64, name string) destination.Customer {
		return destination.Customer{
			Customer: number, Project: "demo", Changed: changed, Properties: fmt.Appendf(nil, `{"name":%q}`, name),
			IDs: []trackway.Identifier{{Name: "registered", Value: name}},
		}
	}
	absorbed := destination.Customer{Customer: 3, Survivor: 1, Project: "demo", Changed: 90, Properties: []byte("{}")}
	erasure := destination.Erasure{ID: 1, Project: "demo", Customer: 2, Asked: 1_700_000_000_000_000, Done: 1_700_000_001_000_000}
	write(t, s, &destination.Batch{Store: storeID, Through: 100, Customers: []destination.Customer{
		customer(1, 30, "ann"), customer(2, 80, "lost"), absorbed,
	}, Erasures: []destination.Erasure{erasure}})
	restored := destination.Position{Store: "another", Number: 40}
	if err := s.Rewind(t.Context(), restored); err != nil {
		t.Fatal(err)
	}
	write(t, s, &destination.Batch{Store: restored.Store, After: 40, Through: 60, Customers: []destination.Customer{
		customer(2, 50, "bob"), customer(3, 51, "cy"),
	}, Erasures: []destination.Erasure{{ID: 1, Project: "demo", Customer: 1, Asked: erasure.Asked + 1}}})
	expect(t, d, "SELECT customer, properties->>'name', changed FROM customers ORDER BY customer", "1|ann|30", "2|bob|50", "3|cy|51")
	expect(t, d, "SELECT customer, value FROM customer_ids WHERE NOT removed ORDER BY customer", "1|ann", "2|bob", "3|cy")
	expect(t, d, "SELECT customer, value FROM customer_ids WHERE removed")
	expect(t, d, "SELECT * FROM customer_map")
	expect(t, d, "SELECT customer, done_at FROM erasures", "1|")
}
