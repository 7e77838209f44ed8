package clickhouse_test

import (
	"fmt"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/destination"
)

// TestOlderDatabase: an operator restores an older state of the database while
// the server is writing. The next batch would leave a gap.
func TestOlderDatabase(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	writeBatch(t, s, batch(5, 10))
	e.query("ALTER TABLE %s.events DELETE WHERE seq > 5 SETTINGS mutations_sync = 2", database)
	e.query("ALTER TABLE %s.trackway_position DELETE WHERE number > 5 SETTINGS mutations_sync = 2", database)
	if _, err := s.Write(t.Context(), batch(10, 15)); err == nil || !strings.Contains(err.Error(), "before the batch") {
		t.Errorf("got %v", err)
	}
	if p := prepare(t, s); p.Number != 5 {
		t.Errorf("got position %v", p)
	}
}

// TestRestoredStore continues with a store that was restored from a backup, and
// has other events and customers under the same numbers.
func TestRestoredStore(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	customer := func(number trackway.Customer, changed uint64, name string) destination.Customer {
		return destination.Customer{Customer: number, Project: "demo", Changed: changed, Properties: fmt.Appendf(nil, `{"name":%q}`, name), IDs: ids("registered", name)}
	}
	b := batch(0, 100)
	for i := range b.Events {
		b.Events[i].Properties = []byte("{}")
	}
	b.Customers = []destination.Customer{customer(1, 30, "ann"), customer(2, 80, "lost"), {Customer: 3, Survivor: 1, Project: "demo", Changed: 90, Properties: []byte("{}")}}
	writeBatch(t, s, b)
	erased := b.Events[50]
	erased.Properties = []byte(`{"erased":true}`)
	writeBatch(t, s, &destination.Batch{Store: store, After: 100, Through: 150, Rewritten: []destination.Event{erased}})
	if err := s.Rewind(t.Context(), destination.Position{Store: "another", Number: 40}); err != nil {
		t.Fatal(err)
	}
	next := batch(40, 60)
	next.Store = "another"
	next.Customers = []destination.Customer{customer(2, 50, "bob"), customer(3, 51, "cy")}
	for i := range next.Events { // other events with the same properties
		next.Events[i].Properties = []byte("{}")
		next.Events[i].Customer += 7
		if i%2 == 0 {
			next.Events[i].Type, next.Events[i].At = "other", next.Events[i].At+1
		}
	}
	prepare(t, s)
	writeBatch(t, s, next)
	lines(t, e, "SELECT count(), countIf(type = 'other'), countIf(customer > 7) FROM "+database+".events WHERE seq > 40 AND seq <= 60", "20\t10\t20")
	lines(t, e, "SELECT customer, properties, changed FROM "+database+".current_customers ORDER BY customer", `1	{"name":"ann"}	30`, `2	{"name":"bob"}	50`, `3	{"name":"cy"}	51`)
	lines(t, e, "SELECT customer, value FROM "+database+".current_ids ORDER BY customer", "1\tann", "2\tbob", "3\tcy")
}
