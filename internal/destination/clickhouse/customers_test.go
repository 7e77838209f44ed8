package clickhouse_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
)

// customers returns three customers. Another customer has absorbed the third.
func customers() []destination.Customer {
	return []destination.Customer{
		{Customer: 1, Project: "demo", IDs: ids("registered", "jane@example.com", "cookie", `a'b\`), Properties: []byte(`{"city":"Brno"}`), Created: at, Changed: 2},
		{Customer: 2, Project: "demo", IDs: ids("registered", "joe@example.com"), Properties: []byte(`{}`), Created: at, Changed: 4},
		{Customer: 3, Project: "demo", Survivor: 1, Properties: []byte(`{}`), Created: at, Changed: 5},
	}
}

func ids(namesAndValues ...string) []trackway.Identifier {
	all := make([]trackway.Identifier, 0, len(namesAndValues)/2)
	for i := 0; i < len(namesAndValues); i += 2 {
		all = append(all, trackway.Identifier{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return all
}

// lines checks the rows of a query.
func lines(tb testing.TB, e *engine, query string, want ...string) {
	tb.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), e.query("%s", query)); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	b := batch(0, 5)
	b.Customers = customers()
	writeBatch(t, s, b)
	inForce := "SELECT customer, name, value FROM " + database + ".current_ids ORDER BY ALL"
	lines(t, e, inForce, `1	cookie	a\'b\\`, "1	registered	jane@example.com", "2	registered	joe@example.com")
	lines(t, e, "SELECT customer, project, properties, created_at, changed, erased FROM "+database+".current_customers ORDER BY ALL",
		`1	demo	{"city":"Brno"}	2026-01-31 23:00:00.000001	2	false`, "2	demo	{}	2026-01-31 23:00:00.000001	4	false")
	lines(t, e, "SELECT seq, person, customer FROM "+database+".events_by_person ORDER BY seq", "1	2	2", "2	1	3", "3	1	1", "4	2	2", "5	1	3")

	// One identifier is removed, one is added, and a third stays.
	b = &destination.Batch{Store: store, After: 5, Through: 9, Customers: []destination.Customer{
		{Customer: 1, Project: "demo", IDs: ids("registered", "jane@example.com", "cookie", "new"), Properties: []byte(`{"city":"Wien"}`), Created: at, Changed: 9},
	}}
	writeBatch(t, s, b)
	writeBatch(t, s, b)
	lines(t, e, inForce, "1	cookie	new", "1	registered	jane@example.com", "2	registered	joe@example.com")
	lines(t, e, "SELECT customer, properties FROM "+database+".current_customers ORDER BY ALL", `1	{"city":"Wien"}`, "2	{}")
	lines(t, e, "SELECT count() FROM "+database+".customers WHERE customer = 1 AND changed = 9", "1")

	// A change that is older than the stored one, as after a rewind, has no
	// effect.
	b = &destination.Batch{Store: store, After: 9, Through: 10, Customers: customers()[:1]}
	writeBatch(t, s, b)
	lines(t, e, inForce, "1	cookie	new", "1	registered	jane@example.com", "2	registered	joe@example.com")

	// The survivor is absorbed, and in the same batch its survivor is, too.
	b = &destination.Batch{Store: store, After: 10, Through: 12, Customers: []destination.Customer{
		{Customer: 1, Project: "demo", Survivor: 2, Properties: []byte(`{}`), Created: at, Changed: 11},
		{Customer: 2, Project: "demo", Survivor: 7, Properties: []byte(`{}`), Created: at, Changed: 12},
		{Customer: 7, Project: "demo", IDs: ids("cookie", "new"), Properties: []byte(`{}`), Created: at, Changed: 12},
	}}
	writeBatch(t, s, b)
	lines(t, e, "SELECT customer, survivor FROM "+database+".customer_map FINAL ORDER BY ALL", "1	7", "2	7", "3	7")
	lines(t, e, "SELECT DISTINCT person FROM "+database+".events_by_person", "7")
	lines(t, e, inForce, "7	cookie	new")
	lines(t, e, "SELECT customer FROM "+database+".current_customers", "7")
	if got := eventsIn(t, s); len(got) != 5 {
		t.Errorf("got %d events, want 5", len(got))
	}
}

// TestErasure rewrites a customer's events and removes everything that was
// known about the customer, including replaced rows.
func TestErasure(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, database))
	prepare(t, s)
	b := batch(0, 20)
	b.Customers = customers()
	b.Customers[2].Survivor, b.Customers[2].Properties, b.Customers[2].IDs = 0, []byte(`{"name":"Jane"}`), ids("cookie", "c3")
	writeBatch(t, s, b)
	merged := customers()[2:]
	merged[0].Changed = 21
	writeBatch(t, s, &destination.Batch{Store: store, After: 20, Through: 21, Customers: merged})

	erased := &destination.Batch{
		Store: store, After: 21, Through: 25,
		Customers: []destination.Customer{{Customer: 1, Project: "demo", Properties: []byte(`{}`), Created: at, Changed: 25, Erased: true}},
		Erasures:  []destination.Erasure{{ID: 1, Project: "demo", Customer: 1, Asked: at}},
	}
	for seq := uint64(3); seq <= 20; seq += 3 {
		rewritten := event(seq)
		rewritten.Properties = []byte(`{}`)
		erased.Rewritten = append(erased.Rewritten, rewritten)
	}
	unknown := event(99) // before the destination's start
	erased.Rewritten = append(erased.Rewritten, unknown)
	pieces := &destination.Batch{Store: store, After: 21, Through: 21, Rewritten: erased.Rewritten[2:4]}
	writeBatch(t, s, pieces)

	// Each answer in turn is lost.
	for lost := 1; ; lost++ {
		n := 0
		p.set(nil, func(query string) bool {
			if strings.HasPrefix(query, "INSERT") || strings.HasPrefix(query, "ALTER") {
				n++
			}
			return n == lost
		})
		_, err := s.Write(t.Context(), erased)
		p.set(nil, nil)
		if err == nil {
			break
		}
		prepare(t, s)
	}
	want := batch(0, 20).Events
	for i := range want {
		if want[i].Seq%3 == 0 {
			want[i].Properties = []byte(`{}`)
		}
	}
	if diff := cmp.Diff(want, eventsIn(t, s)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	lines(t, e, "SELECT count(), countIf(properties = '{}') FROM "+database+".events", "20	6")
	lines(t, e, "SELECT customer, properties, erased FROM "+database+".customers ORDER BY ALL", "1	{}	true", "2	{}	false", "3	{}	false")
	lines(t, e, "SELECT customer, name, value FROM "+database+".customer_ids ORDER BY ALL", "2	registered	joe@example.com")
	lines(t, e, "SELECT erasure, project, customer, asked_at, done_at FROM "+database+".erasures", `1	demo	1	2026-01-31 23:00:00.000001	\N`)

	erased.Erasures[0].Done = at + 1
	writeBatch(t, s, &destination.Batch{Store: store, After: 25, Through: 25, Erasures: erased.Erasures})
	lines(t, e, "SELECT erasure, done_at FROM "+database+".erasures FINAL", "1	2026-01-31 23:00:00.000002")
	if got := prepare(t, s).Number; got != 25 {
		t.Errorf("position: got %d, want 25", got)
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	d := settingsOf(e.url(), database)
	prepare(t, newSink(t, d)) // without columns: they come later
	for _, as := range []string{"text", "bigint", "double", "boolean", "timestamp", "date", "decimal(12,2)"} {
		kind, _, _ := strings.Cut(as, "(")
		d.Columns = append(d.Columns, config.Column{Type: "it's", Property: kind, Name: kind + " `\\\"x", As: as})
	}
	s := newSink(t, d)
	prepare(t, s)
	b := batch(0, 4)
	for i, properties := range []string{
		`{"bigint":-9223372036854775808,"boolean":true,"date":"2200-12-31","decimal":-1234567890.12,"double":1e300,"text":"it's \"x\"\u0000","timestamp":"1969-12-31T23:59:59.123456Z"}`,
		`{"bigint":1.5,"boolean":1,"date":"soon","decimal":12345678901.5,"double":"x","text":{"a":1},"timestamp":"9999-01-01T00:00:00Z"}`,
		`{"bigint":"17","boolean":"false","date":"1900-01-01","decimal":0,"double":-0.1,"text":null,"timestamp":"2298-12-31T23:59:59.999999Z"}`,
		`{}`,
	} {
		b.Events[i].Type, b.Events[i].Properties = "it's", []byte(properties)
	}
	writeBatch(t, s, b)
	writeBatch(t, s, b) // counts misfits once
	lines(t, e, "SELECT * EXCEPT (project, person, customer, at, received_at) FROM "+database+".`v_it\\'s` ORDER BY seq",
		`1	it\'s "x"\0	-9223372036854775808	1e300	true	1969-12-31 23:59:59.123456	2200-12-31	-1234567890.12`,
		`2	{"a":1}	\N	\N	\N	\N	\N	\N`,
		`3	\N	17	-0.1	false	2298-12-31 23:59:59.999999	1900-01-01	0`,
		`4	\N	\N	\N	\N	\N	\N	\N`)
	var total uint64
	for _, m := range s.Misfits() {
		total += m.Values
	}
	if total != 6 {
		t.Errorf("misfits: got %v, want six", s.Misfits())
	}
	if diff := cmp.Diff(b.Events, eventsIn(t, s)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestDDL runs the statements as an operator would.
func TestDDL(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	d := settingsOf(e.url(), database)
	d.Columns = []config.Column{{Type: "purchase", Property: "total", Name: "total", As: "decimal(12,2)"}}
	s := newSink(t, d)
	for statement := range strings.SplitSeq(s.DDL(), ";\n") {
		if strings.TrimSpace(statement) != "" {
			e.query("%s", statement)
		}
	}
	before := e.query("SELECT name, create_table_query FROM system.tables WHERE database = '%s' ORDER BY name", database)
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	if after := e.query("SELECT name, create_table_query FROM system.tables WHERE database = '%s' ORDER BY name", database); after != before {
		t.Errorf("Prepare altered the tables:\n%s\nbefore:\n%s", after, before)
	}
}

func TestMend(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	writeBatch(t, s, batch(0, 30))
	e.query("ALTER TABLE %s.events DELETE WHERE seq IN (2, 11, 25) SETTINGS mutations_sync = 1", database)
	e.query("ALTER TABLE %s.events UPDATE properties = '{}' WHERE seq IN (12, 3) SETTINGS mutations_sync = 1", database)
	e.query("INSERT INTO %s.events SELECT * FROM %[1]s.events WHERE seq IN (13, 4)", database)
	e.query("INSERT INTO %s.events SELECT * REPLACE (seq + 100 AS seq) FROM %[1]s.events WHERE seq = 14", database)
	e.query("INSERT INTO %s.events SELECT * REPLACE ('other' AS type) FROM %[1]s.events WHERE seq = 15", database)
	n := 0
	if err := s.Events(t.Context(), 15, 20, func(*destination.Event) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("two of the events from 15 on: got %d, %v", n, err)
	}
	all := batch(0, 30).Events
	if err := s.Mend(t.Context(), 10, 200, all[9:]); err != nil {
		t.Fatal(err)
	}
	lines(t, e, "SELECT count(), uniqExact(seq), max(seq) FROM "+database+".events WHERE seq >= 10", "21	21	30")
	if diff := cmp.Diff(all[9:], eventsIn(t, s)[8:]); diff != "" {
		t.Errorf("mended events (-want +got):\n%s", diff)
	}
	if got := eventsIn(t, s)[1].Properties; string(got) != "{}" {
		t.Errorf("an event outside of the range was mended: %s", got)
	}
	for range 2 { // the second time, there is nothing to do
		if err := s.Mend(t.Context(), 0, 200, all); err != nil {
			t.Fatal(err)
		}
		expect(t, e, s, database, 30)
	}
}

// TestKills kills the engine at random points of batches, with SIGKILL.
func TestKills(t *testing.T) {
	t.Parallel()
	e := startEngine(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, "killed"))
	r := rand.New(rand.NewPCG(1, 2))
	position := uint64(0)
	for range 8 {
		n, deadly := 0, 1+r.IntN(6)
		kill := func(query string) bool {
			if n++; n == deadly {
				e.kill()
				return true
			}
			return strings.HasPrefix(query, "never")
		}
		if r.IntN(2) == 0 {
			p.set(nil, kill) // after the engine has answered
		} else {
			p.set(func(_ http.ResponseWriter, _ *http.Request, query string) bool { kill(query); return false }, nil)
		}
		size := 1 + r.Uint64N(9)
		got, err := s.Prepare(t.Context())
		if err == nil {
			position = got.Number
			_, err = s.Write(t.Context(), batch(position, position+size))
		}
		p.set(nil, nil)
		if e.cmd == nil {
			e.start()
		} else if err != nil {
			t.Fatal(err)
		}
		position = prepare(t, s).Number
		size = 1 + r.Uint64N(9)
		writeBatch(t, s, batch(position, position+size))
		position += size
	}
	expect(t, e, s, "killed", position)
	t.Logf("%d events", position)
}

// TestOddColumnNames declares columns with names that need quoting.
func TestOddColumnNames(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	d := settingsOf(e.url(), database)
	odd := []string{"a`b", `a\b`, `a"b`, "del\x7f", "bell\a", "tag\U000e0001", "select", "e", "m", "a.b", "a.c", "日本", "x'; DROP TABLE events; --", "$1", "{p:String}"}
	for i, name := range odd {
		d.Columns = append(d.Columns, config.Column{Type: odd[len(odd)-1-i], Property: name, Name: name, As: "text"})
	}
	s := newSink(t, d)
	prepare(t, s)
	b := batch(0, uint64(len(odd)))
	for i, name := range odd {
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\a", `\u0007`).Replace(name)
		b.Events[i].Type, b.Events[i].Properties = odd[len(odd)-1-i], []byte(`{"`+quoted+`":"v"}`)
	}
	writeBatch(t, s, b)
	for i, name := range odd {
		quoted := func(s string) string {
			return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
		}
		lines(t, e, "SELECT seq, "+quoted(name)+" FROM "+database+"."+quoted("v_"+odd[len(odd)-1-i]), fmt.Sprintf("%d\tv", i+1))
	}
}

// TestLongTypes declares columns for types whose names are too long for the
// name of a file, in which ClickHouse escapes most characters.
func TestLongTypes(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	d := settingsOf(e.url(), database)
	long := []string{"Просмотр страницы товара в каталоге магазина", strings.Repeat("日", 85), strings.Repeat("t", 255) + "a", strings.Repeat("t", 255) + "b"}
	for _, name := range long {
		d.Columns = append(d.Columns, config.Column{Type: name, Property: "n", Name: "n", As: "bigint"})
	}
	s := newSink(t, d)
	prepare(t, s)
	b := batch(0, 4)
	for i, name := range long {
		b.Events[i].Type = name
	}
	writeBatch(t, s, b)
	views := strings.Split(e.query("SELECT name FROM system.tables WHERE database = '%s' AND name LIKE 'v\\_%%'", database), "\n")
	if len(views) != len(long) {
		t.Fatalf("got views %q", views)
	}
	for _, view := range views {
		lines(t, e, "SELECT count() FROM "+database+".`"+view+"`", "1")
	}
}
