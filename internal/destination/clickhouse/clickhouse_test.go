package clickhouse_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/clickhouse"
)

var (
	_ destination.Sink          = (*clickhouse.Sink)(nil)
	_ destination.Reader        = (*clickhouse.Sink)(nil)
	_ destination.Describer     = (*clickhouse.Sink)(nil)
	_ destination.MisfitCounter = (*clickhouse.Sink)(nil)
)

const store = "0123456789abcdef"

// at is the time of the first event: 2026-01-31T23:00:00.000001Z.
const at trackway.Micros = 1_769_900_400_000_001

// event returns an event. Events with odd numbers are from another month.
func event(seq uint64) destination.Event {
	return destination.Event{
		Seq: seq, Project: "demo", Customer: trackway.Customer(seq%3 + 1), Type: "page_view", At: at + trackway.Micros(seq+seq%2*40*86_400)*1_000_000,
		Received: at + trackway.Micros(seq), Properties: fmt.Appendf(nil, `{"n":%d,"quote":"\"'\\"}`, seq),
	}
}

// batch returns a batch with the events from after+1 to through.
func batch(after, through uint64) *destination.Batch {
	b := &destination.Batch{Store: store, After: after, Through: through}
	for seq := after + 1; seq <= through; seq++ {
		b.Events = append(b.Events, event(seq))
	}
	return b
}

func prepare(tb testing.TB, s *clickhouse.Sink) destination.Position {
	tb.Helper()
	p, err := s.Prepare(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func writeBatch(tb testing.TB, s *clickhouse.Sink, b *destination.Batch) {
	tb.Helper()
	rejects, err := s.Write(tb.Context(), b)
	if err != nil || len(rejects) > 0 {
		tb.Fatalf("write: %v, rejects %v", err, rejects)
	}
}

// eventsIn reads all events back through the sink.
func eventsIn(tb testing.TB, s *clickhouse.Sink) []destination.Event {
	tb.Helper()
	var events []destination.Event
	err := s.Events(tb.Context(), 0, 1<<64-1, func(e *destination.Event) bool {
		events = append(events, *e)
		return true
	})
	if err != nil {
		tb.Fatal(err)
	}
	return events
}

// expect checks that the table has exactly the events up to a number, each
// once, with and without FINAL.
func expect(tb testing.TB, e *engine, s *clickhouse.Sink, database string, through uint64) {
	tb.Helper()
	if diff := cmp.Diff(batch(0, through).Events, eventsIn(tb, s)); diff != "" {
		tb.Errorf("events (-want +got):\n%s", diff)
	}
	if got, want := e.query("SELECT count(), uniqExact(seq) FROM %s.events", database), fmt.Sprintf("%d\t%d", through, through); got != want {
		tb.Errorf("rows and numbers without FINAL: got %s, want %s", got, want)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	if p := prepare(t, s); p != (destination.Position{}) {
		t.Errorf("position of a new database: got %v", p)
	}
	writeBatch(t, s, batch(0, 10))
	writeBatch(t, s, batch(10, 15))
	writeBatch(t, s, batch(10, 15)) // the answer got lost
	expect(t, e, s, database, 15)
	again := newSink(t, settingsOf(e.url(), database))
	if got, want := prepare(t, again), (destination.Position{Store: store, Number: 15}); got != want {
		t.Errorf("position: got %v, want %v", got, want)
	}
	if got, want := e.query("SELECT uniqExact(partition) FROM system.parts WHERE database = '%s' AND table = 'events' AND active", database), "2"; got != want {
		t.Errorf("partitions: got %s, want %s", got, want)
	}
}

// TestLostAnswers loses the answer to each insert of a batch in turn, and
// repeats the batch after Prepare, as the engine does.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, database))
	prepare(t, s)
	b := batch(0, 10)
	b.Customers = customers()
	writeBatch(t, s, b)
	for lost := 1; ; lost++ {
		b := batch(uint64(lost)*10, uint64(lost)*10+10)
		b.Customers = customers()
		for i := range b.Customers {
			b.Customers[i].Changed = b.Through
		}
		inserts := 0
		p.set(nil, func(query string) bool {
			if strings.HasPrefix(query, "INSERT") {
				inserts++
			}
			return inserts == lost
		})
		_, err := s.Write(t.Context(), b)
		p.set(nil, nil)
		if err == nil {
			if lost < 6 { // two months, ids, customers, map, position
				t.Errorf("a batch has %d inserts", lost-1)
			}
			expect(t, e, s, database, b.Through)
			return
		}
		prepare(t, s)
		writeBatch(t, s, b)
		expect(t, e, s, database, b.Through)
	}
}

// TestOtherBatches stops a process after each insert of a batch. The next
// process divides the same changes into other batches.
func TestOtherBatches(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	through := uint64(0)
	for lost := 1; lost <= 4; lost++ { // the claim, two months, the position
		s := newSink(t, settingsOf(p.url, database))
		prepare(t, s)
		inserts := 0
		p.set(nil, func(query string) bool {
			if strings.HasPrefix(query, "INSERT") {
				inserts++
			}
			return inserts == lost
		})
		if _, err := s.Write(t.Context(), batch(through, through+10)); err == nil {
			t.Fatal("the write succeeded without an answer")
		}
		p.set(nil, nil)

		next := newSink(t, settingsOf(p.url, database))
		position := prepare(t, next).Number
		for _, size := range []uint64{3, 4, 5} {
			if position+size > through+12 {
				break
			}
			writeBatch(t, next, batch(position, position+size))
			position += size
		}
		through = position
		expect(t, e, next, database, through)
	}
}

func TestRewind(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	writeBatch(t, s, batch(0, 10))
	writeBatch(t, s, batch(10, 20))
	if err := s.Rewind(t.Context(), destination.Position{Store: store, Number: 4}); err != nil {
		t.Fatal(err)
	}
	if got, want := prepare(t, s).Number, uint64(4); got != want {
		t.Errorf("position after a rewind: got %d, want %d", got, want)
	}
	writeBatch(t, s, batch(4, 14))
	expect(t, e, s, database, 20)

	// Somebody has deleted rows. A rewind brings them back, although the
	// inserts are the same as before.
	e.query("ALTER TABLE %s.events DELETE WHERE 1 SETTINGS mutations_sync = 1", database)
	if err := s.Rewind(t.Context(), destination.Position{Store: store}); err != nil {
		t.Fatal(err)
	}
	prepare(t, s)
	writeBatch(t, s, batch(0, 10))
	writeBatch(t, s, batch(10, 20))
	expect(t, e, s, database, 20)
}

// TestStartLater begins with a batch that is not the first. The position must
// never ask for earlier changes.
func TestStartLater(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, database))
	prepare(t, s)
	p.set(nil, func(query string) bool { return strings.Contains(query, "`events` FORMAT") })
	if _, err := s.Write(t.Context(), batch(100, 110)); err == nil {
		t.Fatal("the write succeeded")
	}
	if got, want := prepare(t, s), (destination.Position{Store: store, Number: 100}); got != want {
		t.Errorf("position: got %v, want %v", got, want)
	}
}

// TestOrderKeepsEvents has events that differ only in their number. If ORDER BY
// did not contain the number, they would replace each other.
func TestOrderKeepsEvents(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	b := batch(0, 10)
	for i := range b.Events {
		b.Events[i] = event(1)
		b.Events[i].Seq = uint64(i + 1)
	}
	writeBatch(t, s, b)
	e.query("OPTIMIZE TABLE %s.events FINAL", database)
	if got := e.query("SELECT count() FROM %s.events", database); got != "10" {
		t.Errorf("events after merging: got %s, want 10", got)
	}

	// With such an ORDER BY, rows vanish. Prepare refuses the table.
	e.query("CREATE TABLE %s.short AS %[1]s.events ENGINE = ReplacingMergeTree(changed) ORDER BY (project, type, at)", database)
	e.query("INSERT INTO %s.short SELECT * FROM %[1]s.events", database)
	e.query("OPTIMIZE TABLE %s.short FINAL", database)
	if got := e.query("SELECT count() FROM %s.short", database); got != "1" {
		t.Errorf("events with a short ORDER BY: got %s, want 1", got)
	}
	e.query("EXCHANGE TABLES %s.short AND %[1]s.events", database)
	_, err := s.Prepare(t.Context())
	var final *destination.FinalError
	if !errors.As(err, &final) || !strings.Contains(err.Error(), "would lose events") {
		t.Errorf("a short ORDER BY: got %v", err)
	}
}

func TestManyMonths(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	b := batch(0, 102)
	for i := range b.Events { // ClickHouse accepts 100 partitions at once
		b.Events[i].At = at + trackway.Micros(i)*31*24*3600*1_000_000
	}
	b.Events[0].At, b.Events[1].At = trackway.MinTime, trackway.MaxTime
	writeBatch(t, s, b)
	if got, want := e.query("SELECT count(), uniqExact(_partition_id) FROM %s.events", database), "102\t102"; got != want {
		t.Errorf("events and partitions: got %s, want %s", got, want)
	}
	if diff := cmp.Diff(b.Events, eventsIn(t, s)); diff != "" {
		t.Errorf("events at the ends of time (-want +got):\n%s", diff)
	}
}

// TestTwoProcesses has a process that continues after another one has taken
// over.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	zombie, next := newSink(t, settingsOf(e.url(), database)), newSink(t, settingsOf(e.url(), database))
	prepare(t, zombie)
	writeBatch(t, zombie, batch(0, 5))
	position := prepare(t, next).Number
	writeBatch(t, next, batch(position, position+5))
	var final *destination.FinalError
	prepare(t, zombie) // as after an error: Prepare must not take the destination over again
	if _, err := zombie.Write(t.Context(), batch(5, 12)); !errors.As(err, &final) || !strings.Contains(err.Error(), "another process") {
		t.Fatalf("a process that was replaced: got %v", err)
	}
	writeBatch(t, next, batch(10, 15))
	expect(t, e, next, database, 15)

	// The operator resumes it.
	position = prepare(t, zombie).Number
	writeBatch(t, zombie, batch(position, position+5))
	expect(t, e, zombie, database, 20)
}

func TestOtherStore(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	b := batch(5, 10)
	b.Store = "another"
	var final *destination.FinalError
	if _, err := s.Write(t.Context(), b); !errors.As(err, &final) || !strings.Contains(err.Error(), "another store") {
		t.Errorf("a batch of another store: got %v", err)
	}
}

func TestAlteredTables(t *testing.T) {
	t.Parallel()
	for alter, want := range map[string]string{
		"ALTER TABLE %s.events DROP COLUMN received_at":                       `lacks the column "received_at"`,
		"ALTER TABLE %s.events MODIFY COLUMN customer UInt32":                 `has the column "customer" of type UInt32 instead of UInt64`,
		"DROP TABLE %s.events SYNC":                                           "events is gone, though the position is",
		"RENAME TABLE %s.customers TO %[1]s.others":                           "customers is gone, though the position is",
		"CREATE OR REPLACE TABLE %s.customers (customer UInt64) ENGINE = Log": "does not have the engine ReplacingMergeTree",
		"CREATE OR REPLACE VIEW %s.events_by_person AS SELECT 1":              "",
		"ALTER TABLE %s.events ADD COLUMN note String DEFAULT 'x'":            "",
		"ALTER TABLE %s.events DROP COLUMN total":                             "",
		"ALTER TABLE %s.events MODIFY COMMENT 'mine'":                         "",
		"ALTER TABLE %s.events MODIFY COMMENT 'mine', DROP COLUMN total":      `was not made by Trackway and lacks the column "total"`,
		"ALTER TABLE %s.customers MODIFY COLUMN project String":               "",
		"ALTER TABLE %s.events MODIFY COLUMN total Nullable(Int64)":           `has the column "total" of type Nullable(Int64)`,
		"ALTER TABLE %s.events RENAME COLUMN properties TO data":              `lacks the column "properties"`,
	} {
		t.Run(alter, func(t *testing.T) {
			t.Parallel()
			e, database := open(t)
			d := settingsOf(e.url(), database)
			d.Columns = []config.Column{{Type: "page_view", Property: "total", Name: "total", As: "decimal(12,2)"}}
			s := newSink(t, d)
			prepare(t, s)
			writeBatch(t, s, batch(0, 5))
			e.query(alter, database)
			_, err := s.Write(t.Context(), batch(5, 10))
			_, prepared := s.Prepare(t.Context())
			var final *destination.FinalError
			switch {
			case want == "" && prepared != nil:
				t.Errorf("prepare: %v", prepared)
			case want == "":
				writeBatch(t, s, batch(5, 10))
			case !errors.As(prepared, &final) || !strings.Contains(prepared.Error(), want):
				t.Errorf("prepare: got %v, want %q", prepared, want)
			case err == nil && !strings.Contains(alter, "UInt32") && !strings.Contains(alter, "customers") && !strings.Contains(alter, "total"):
				t.Errorf("a batch was written though the table %s", want)
			}
		})
	}
}

// TestNoColumnVanishes drops a column without the sink's knowledge. The write
// must fail instead of leaving the column out.
func TestNoColumnVanishes(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	prepare(t, s)
	e.query("ALTER TABLE %s.events DROP COLUMN properties", database)
	if _, err := s.Write(t.Context(), batch(0, 5)); err == nil {
		t.Error("events were written without their properties")
	}
	if got := e.query("SELECT count() FROM %s.events", database); got != "0" {
		t.Errorf("events: got %s, want none", got)
	}
}

// TestWaitsForEarlierRequest: while a request of an earlier process is running,
// nothing else is written.
func TestWaitsForEarlierRequest(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	p := newProxy(t, e)
	s := newSink(t, settingsOf(p.url, database))
	prepare(t, s)
	var refusals atomic.Int32
	p.set(func(w http.ResponseWriter, r *http.Request, _ string) bool {
		if r.URL.Query().Get("query_id") == "" || refusals.Load() == 3 {
			return false
		}
		refusals.Add(1)
		refuse(w, 216, "Query with id = trackway is already running. (QUERY_WITH_SAME_QUERY_ID_IS_ALREADY_RUNNING)")
		return true
	}, nil)
	prepare(t, s)
	if n := refusals.Load(); n != 3 {
		t.Errorf("got %d refusals, want 3", n)
	}
	writeBatch(t, s, batch(0, 5))
	expect(t, e, s, database, 5)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	e, database := open(t)
	s := newSink(t, settingsOf(e.url(), database))
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := e.query("SELECT count() FROM system.databases WHERE name = '%s'", database); got != "0" {
		t.Error("the check made the database")
	}
	e.query("CREATE DATABASE %s", database)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := e.query("SHOW TABLES FROM %s", database); got != "" {
		t.Errorf("the check left tables: %s", got)
	}
	prepare(t, s)
	writeBatch(t, s, batch(0, 5))
	before := e.query("SELECT * FROM %s.trackway_position ORDER BY changed", database)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if after := e.query("SELECT * FROM %s.trackway_position ORDER BY changed", database); after != before {
		t.Errorf("the check left rows: %s", after)
	}
	e.query("DROP TABLE %s.trackway_position SYNC", database)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"clickhouse://h:9000":              "http://HOST",
		"http://h:8123/?database=x":        "prefix names the database",
		"http://user:p4ss word@h:8123/%zz": "not valid",
		"":                                 "http://HOST",
	} {
		d := settingsOf(address, "")
		if _, err := clickhouse.New(d); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%q: got %v, want %q", address, err, want)
		}
	}
	d := settingsOf("http://h", "")
	for _, own := range []string{"changed", "person", "seq"} {
		d.Columns = []config.Column{{Property: "x", Name: own, As: "text"}}
		if _, err := clickhouse.New(d); err == nil || !strings.Contains(err.Error(), "own columns") {
			t.Errorf("a column %q: got %v", own, err)
		}
	}
}
