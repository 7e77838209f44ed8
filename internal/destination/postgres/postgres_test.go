package postgres_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/postgres"
	"trackway/internal/destination/postgres/postgrestest"
	"trackway/internal/prereq"
)

// server is shared by the tests that do not harm it.
var server = sync.OnceValues(func() (*postgrestest.Server, error) { started = true; return postgrestest.New() })

var started bool

func TestMain(m *testing.M) {
	code := m.Run()
	if started {
		if s, _ := server(); s != nil {
			s.Stop()
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// database returns an empty database.
func database(tb testing.TB) *postgrestest.Database {
	tb.Helper()
	s, err := server()
	if s == nil {
		prereq.Missing(tb, prereq.Postgres, err.Error())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s.Database(tb)
}

// open returns a sink that was prepared.
func open(tb testing.TB, d *postgrestest.Database, edit ...func(*config.Destination)) *postgres.Sink {
	tb.Helper()
	s := unprepared(tb, d.URL(), edit...)
	if _, err := s.Prepare(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return s
}

func unprepared(tb testing.TB, url string, edit ...func(*config.Destination)) *postgres.Sink {
	tb.Helper()
	c := config.Destination{Name: "ware'house", Kind: "postgres", URL: url}
	for _, f := range edit {
		f(&c)
	}
	s, err := postgres.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// columns declares columns as "type property as [name]".
func columns(lines ...string) func(*config.Destination) {
	return func(d *config.Destination) {
		for _, line := range lines {
			f := strings.Fields(line)
			c := config.Column{Property: f[1], As: f[2], Name: f[1]}
			if f[0] != "*" {
				c.Type = f[0]
			}
			if len(f) > 3 {
				c.Name = f[3]
			}
			d.Columns = append(d.Columns, c)
		}
	}
}

const storeID = "00112233445566778899aabbccddeeff"

// event returns an event. Its other values follow from its number.
func event(seq uint64, eventType, properties string) destination.Event {
	at := trackway.Micros(1_700_000_000_000_001 + int64(seq)*1_000_000)
	return destination.Event{
		Seq: seq, Project: "demo", Customer: trackway.Customer(seq%7 + 1), Type: eventType,
		At: at, Received: at + 5, Properties: []byte(properties),
	}
}

// numbered returns a batch with one event for each number from after+1 to
// through.
func numbered(after, through uint64) *destination.Batch {
	b := &destination.Batch{Store: storeID, After: after, Through: through}
	for seq := after + 1; seq <= through; seq++ {
		b.Events = append(b.Events, event(seq, "visit", fmt.Sprintf(`{"n":%d}`, seq)))
	}
	return b
}

func write(tb testing.TB, s *postgres.Sink, b *destination.Batch) []destination.Reject {
	tb.Helper()
	rejects, err := s.Write(tb.Context(), b)
	if err != nil {
		tb.Fatal(err)
	}
	return rejects
}

// expect compares rows of the database, as psql reads them, each in the form
// "a|b|c".
func expect(tb testing.TB, d *postgrestest.Database, query string, want ...string) {
	tb.Helper()
	var got []string
	for _, row := range d.SQL(tb, query) {
		got = append(got, strings.Join(row, "|"))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

// expectEvents checks that exactly these numbers are there, each once, and
// checks the position.
func expectEvents(tb testing.TB, d *postgrestest.Database, n, position uint64) {
	tb.Helper()
	expect(tb, d, "SELECT count(*), count(DISTINCT seq), coalesce(min(seq), 0), coalesce(max(seq), 0), bool_and((properties->>'n')::bigint = seq) FROM events",
		fmt.Sprintf("%d|%d|1|%d|t", n, n, n))
	expect(tb, d, "SELECT destination, store, number FROM trackway_position", fmt.Sprintf("ware'house|%s|%d", storeID, position))
}

func expectFinal(tb testing.TB, err error, part string) {
	tb.Helper()
	var final *destination.FinalError
	if !errors.As(err, &final) || !strings.Contains(err.Error(), part) {
		tb.Errorf("got %v, want a final error with %q", err, part)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d, columns("purchase total decimal(12,2)", "* page text", "* n bigint", "* x double", "* ok boolean", "* at_time timestamp", "* day date"))
	if p, err := s.Prepare(t.Context()); err != nil || p != (destination.Position{}) {
		t.Errorf("an empty destination: got position %v, %v", p, err)
	}
	b := &destination.Batch{Store: storeID, After: 0, Through: 9}
	b.Events = []destination.Event{
		event(1, "purchase", `{"at_time":"2024-02-29T12:00:00.000001+01:00","day":"2024-02-29","n":-5,"ok":true,"page":"/päge\t","total":12.5,"x":1e-3}`),
		event(2, "visit", `{"n":null,"total":12.5}`),
		event(9, "visit", `{}`),
	}
	write(t, s, b)
	expect(t, d, `SELECT seq, project, customer, type, at AT TIME ZONE 'UTC', received_at AT TIME ZONE 'UTC', properties->>'page', total, page, n, x, ok, at_time AT TIME ZONE 'UTC', day FROM events ORDER BY seq`,
		"1|demo|2|purchase|2023-11-14 22:13:21.000001|2023-11-14 22:13:21.000006|/päge\t|12.50|/päge\t|-5|0.001|t|2024-02-29 11:00:00.000001|2024-02-29",
		"2|demo|3|visit|2023-11-14 22:13:22.000001|2023-11-14 22:13:22.000006||||||||",
		"9|demo|3|visit|2023-11-14 22:13:29.000001|2023-11-14 22:13:29.000006||||||||")
	if p, err := s.Prepare(t.Context()); err != nil || p != (destination.Position{Store: storeID, Number: 9}) {
		t.Errorf("got position %v, %v", p, err)
	}
	if m := s.Misfits(); len(m) != 0 {
		t.Errorf("got misfits %v", m)
	}
}

// TestTwiceIsOnce writes batches again: the same one, others that overlap it,
// and all of them after a rewind. COPY cannot skip duplicates, and a retry must
// not insert twice.
func TestTwiceIsOnce(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	write(t, s, numbered(0, 10))
	write(t, s, numbered(0, 10))
	expectEvents(t, d, 10, 10)
	write(t, s, numbered(5, 15)) // a part of it was written
	expectEvents(t, d, 15, 15)
	write(t, s, numbered(0, 7)) // older: it moves nothing back
	expectEvents(t, d, 15, 15)
	if err := s.Rewind(t.Context(), destination.Position{Store: storeID, Number: 3}); err != nil {
		t.Fatal(err)
	}
	expectEvents(t, d, 15, 3)
	if p, err := s.Prepare(t.Context()); err != nil || p.Number != 3 {
		t.Errorf("after a rewind: got position %v, %v", p, err)
	}
	d.SQL(t, "DELETE FROM events WHERE seq IN (5, 12)") // there is something to do
	write(t, s, numbered(3, 11))
	write(t, s, numbered(11, 20))
	expectEvents(t, d, 20, 20)
	if _, err := s.Write(t.Context(), numbered(25, 30)); err == nil {
		t.Error("a batch beyond the position was taken: a gap")
	}
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectEvents(t, d, 20, 20)
}

// TestStartLater begins with a number, as `start: now` does.
func TestStartLater(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	only := &destination.Batch{Store: storeID, After: 100, Through: 100, Rewritten: []destination.Event{event(7, "visit", `{}`)}}
	write(t, s, only) // an event from before the start does not appear
	expect(t, d, "SELECT * FROM events")
	expect(t, d, "SELECT * FROM trackway_position")
	write(t, s, numbered(100, 105))
	expect(t, d, "SELECT count(*), min(seq), max(seq) FROM events", "5|101|105")
	expect(t, d, "SELECT number FROM trackway_position", "105")
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	id := func(name, value string) trackway.Identifier { return trackway.Identifier{Name: name, Value: value} }
	customer := func(number trackway.Customer, changed uint64, properties string, ids ...trackway.Identifier) destination.Customer {
		return destination.Customer{Customer: number, Project: "demo", Properties: []byte(properties), Created: 1_700_000_000_000_000, Changed: changed, IDs: ids}
	}
	absorbed := func(number, survivor trackway.Customer, changed uint64) destination.Customer {
		c := customer(number, changed, `{}`)
		c.Survivor = survivor
		return c
	}
	batch := func(after, through uint64, rows ...destination.Customer) *destination.Batch {
		return &destination.Batch{Store: storeID, After: after, Through: through, Customers: rows}
	}
	first := batch(0, 9,
		customer(1, 1, `{"plan":"free"}`, id("registered", "a@x"), id("cookie", "c1"), id("cookie", "c2")),
		customer(2, 2, `{}`, id("cookie", "c3")),
		customer(3, 3, `{}`, id("cookie", "c4")),
		customer(4, 4, `{}`, id("cookie", "c5")))
	write(t, s, first)
	const (
		people = "SELECT customer, project, properties, changed, erased FROM customers ORDER BY customer"
		names  = "SELECT customer, name, value, changed, removed FROM customer_ids ORDER BY customer, name, value"
		merged = "SELECT customer, survivor, changed FROM customer_map ORDER BY customer"
	)
	expect(t, d, names, "1|cookie|c1|1|f", "1|cookie|c2|1|f", "1|registered|a@x|1|f", "2|cookie|c3|2|f", "3|cookie|c4|3|f", "4|cookie|c5|4|f")

	// A property changes, an identifier is removed, and customer 3 absorbs 4.
	write(t, s, batch(9, 14, customer(1, 11, `{"plan":"paid"}`, id("registered", "a@x"), id("cookie", "c2")),
		absorbed(4, 3, 12), customer(3, 12, `{}`, id("cookie", "c4"), id("cookie", "c5"))))
	expect(t, d, people, `1|demo|{"plan": "paid"}|11|f`, "2|demo|{}|2|f", "3|demo|{}|12|f", "4|demo|{}|12|f")
	expect(t, d, names, "1|cookie|c1|11|t", "1|cookie|c2|11|f", "1|registered|a@x|11|f", "2|cookie|c3|2|f",
		"3|cookie|c4|12|f", "3|cookie|c5|12|f", "4|cookie|c5|12|t")
	expect(t, d, merged, "4|3|12")

	// An older state changes nothing.
	again := *first
	write(t, s, &again)
	expect(t, d, people, `1|demo|{"plan": "paid"}|11|f`, "2|demo|{}|2|f", "3|demo|{}|12|f", "4|demo|{}|12|f")
	expect(t, d, merged, "4|3|12")
	expect(t, d, "SELECT count(*) FROM customer_ids WHERE removed", "2")

	// In one batch, 2 absorbs 3 and 1 absorbs 2. So 4 leads to 1.
	write(t, s, batch(14, 20, absorbed(3, 2, 15), absorbed(2, 1, 16), customer(1, 16, `{"plan":"paid"}`, id("registered", "a@x"), id("cookie", "c2"), id("cookie", "c3"))))
	expect(t, d, merged, "2|1|16", "3|1|15", "4|1|12")
	write(t, s, &destination.Batch{Store: storeID, After: 20, Through: 21, Events: []destination.Event{{Seq: 21, Project: "demo", Customer: 4, Type: "visit", Properties: []byte("{}")}}})
	expect(t, d, "SELECT seq, person, customer FROM events_by_person", "21|1|4")

	// Customer 1 is erased. Nothing that named the person is left, not even the
	// identifiers of customers that 1 had absorbed.
	erased := customer(1, 22, `{}`)
	erased.Erased = true
	b := batch(21, 22, erased)
	b.Erasures = []destination.Erasure{{ID: 1, Project: "demo", Customer: 1, Asked: 1_700_000_000_000_000}}
	write(t, s, b)
	expect(t, d, "SELECT properties, erased FROM customers WHERE customer = 1", "{}|t")
	expect(t, d, names)
	expect(t, d, "SELECT erasure, project, customer, extract(epoch FROM asked_at)::int, done_at FROM erasures", "1|demo|1|1700000000|")
	write(t, s, &destination.Batch{Store: storeID, After: 22, Through: 22, Erasures: []destination.Erasure{{ID: 1, Project: "demo", Customer: 1, Asked: 1_700_000_000_000_000, Done: 1_700_000_009_000_000}}})
	write(t, s, b) // which does not know that it is done
	expect(t, d, "SELECT extract(epoch FROM done_at)::int FROM erasures", "1700000009")
}

// TestRewritten replaces an event, and the columns made of it.
func TestRewritten(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d, columns("* mail text"))
	write(t, s, &destination.Batch{Store: storeID, Through: 2, Events: []destination.Event{event(1, "visit", `{"mail":"a@x"}`), event(2, "visit", `{"mail":"b@x"}`)}})
	b := numbered(2, 3)
	b.Rewritten = []destination.Event{event(1, "visit", `{"rest":1}`)}
	write(t, s, b)
	write(t, s, b)
	expect(t, d, "SELECT seq, properties, mail FROM events ORDER BY seq", `1|{"rest": 1}|`, `2|{"mail": "b@x"}|b@x`, `3|{"n": 3}|`)
}
