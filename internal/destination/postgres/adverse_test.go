package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/postgres"
	"trackway/internal/destination/postgres/postgrestest"
)

// TestUnfit has rows that PostgreSQL cannot hold, among rows that it can hold.
func TestUnfit(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d, columns("* page text", "* total decimal(5,2)", "* day date", "* n bigint"))
	huge := "1" + strings.Repeat("0", 300)
	b := &destination.Batch{Store: storeID, Through: 20, Events: []destination.Event{
		event(1, "visit", `{"a":"x\u0000y"}`),
		event(2, "visit", `{"a\u0000":1}`),
		event(3, "vi\x00sit", `{"page":"z\u0000"}`),
		event(4, "visit", `{"a":"\\u0000","b":"\\\\u0000","e":1e300,"f":-2.5e-300}`), // text about U+0000, not U+0000
		event(5, "visit", `{"a":"\\\u0000"}`),
		event(6, "visit", `{"day":"infinity","n":9223372036854775808,"page":"ok","total":1000}`),
		event(7, "visit", `{"day":"2024-02-30","n":"x","page":{"a":1},"total":0.001}`),
		event(8, "visit", `{"day":"0000-01-01","n":9223372036854775807,"total":999.99}`),
	}}
	b.Customers = []destination.Customer{
		{Customer: 1, Project: "demo", Properties: []byte(`{"a":"\u0000"}`), Changed: 9, IDs: []trackway.Identifier{{Name: "cookie", Value: "b\uFFFD"}, {Name: "cookie", Value: "b\x00"}}},
		{Customer: 1 << 63, Project: "demo", Properties: []byte(`{}`), Changed: 10},
	}
	b.Events = append(b.Events, destination.Event{Seq: 9, Customer: 1 << 63})
	want := []destination.Reject{
		{Number: 9, Table: "events", Reason: "a number exceeds bigint"},
		{Number: 10, Table: "customers", Reason: "a number exceeds bigint"},
	}
	if diff := cmp.Diff(want, write(t, s, b)); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
	expect(t, d, "SELECT seq, page, total, day, n FROM events ORDER BY seq", "1||||", "2||||", "3|z\uFFFD|||", "4||||", "5||||",
		"6|ok|||", `7|{"a":1}|||`, "8||999.99|0001-01-01 BC|9223372036854775807")
	expect(t, d, "SELECT properties->>'a', properties->>'b', (properties->>'e')::numeric = 1e300, (properties->>'f')::numeric = -2.5e-300 FROM events WHERE seq = 4", `\u0000|\\u0000|t|t`)
	expect(t, d, "SELECT seq, type, properties FROM events WHERE seq IN (1, 2, 3, 5) ORDER BY seq", "1|visit|{\"a\": \"x\uFFFDy\"}", "2|visit|{\"a\uFFFD\": 1}",
		"3|vi\uFFFDsit|{\"page\": \"z\uFFFD\"}", "5|visit|{\"a\": \"\\\\\uFFFD\"}")
	expect(t, d, "SELECT customer, properties FROM customers", "1|{\"a\": \"\uFFFD\"}")
	expect(t, d, "SELECT customer, name, value FROM customer_ids", "1|cookie|b\uFFFD")
	misfits := []destination.Misfit{{Type: "visit", Property: "day", Values: 2}, {Type: "visit", Property: "n", Values: 2}, {Type: "visit", Property: "total", Values: 2}}
	if diff := cmp.Diff(misfits, s.Misfits()); diff != "" {
		t.Errorf("misfits (-want +got):\n%s", diff)
	}
	// The log has 1e300. The reader returns what jsonb made of it, in canonical
	// form.
	var read []string
	if err := s.Events(t.Context(), 4, 5, func(e *destination.Event) bool { read = append(read, string(e.Properties)); return true }); err != nil {
		t.Fatal(err)
	}
	if want := `{"a":"\\u0000","b":"\\\\u0000","e":` + huge + `,"f":-0.` + strings.Repeat("0", 299) + `25}`; len(read) != 1 || read[0] != want {
		t.Errorf("got %q, want %s", read, want)
	}
}

// TestServerRefuses has rows that only the server can refuse, because they are
// too long for an index that the operator has added. It makes no difference
// where in the batch they are, or whether a part of the batch was written
// before.
func TestServerRefuses(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d, columns("* page text"))
	d.SQL(t, "CREATE INDEX ON events (page)")
	var long strings.Builder
	for i := range 2000 { // which does not compress below the limit of an index
		fmt.Fprintf(&long, "%x", i*i*7919)
	}
	b := numbered(0, 50)
	for _, i := range []int{0, 13, 14, 49} {
		b.Events[i].Properties = fmt.Appendf(nil, `{"n":%d,"page":%q}`, i+1, long.String())
	}
	for range 2 { // the second time, the others are there
		var numbers []uint64
		for _, r := range write(t, s, b) {
			numbers = append(numbers, r.Number)
			if !strings.Contains(r.Reason, "index row") || strings.Contains(r.Reason, long.String()[:20]) {
				t.Errorf("got reason %q", r.Reason)
			}
		}
		if want := []uint64{1, 14, 15, 50}; !slices.Equal(numbers, want) {
			t.Errorf("rejected are %v, want %v", numbers, want)
		}
		expect(t, d, "SELECT count(*), count(DISTINCT seq) FROM events", "46|46")
	}
	if m := s.Misfits(); len(m) != 0 {
		t.Errorf("got misfits %v", m)
	}
	// If the server refuses all rows, something else is wrong, and no row is
	// left out.
	d.SQL(t, "ALTER TABLE events ADD CONSTRAINT no CHECK (project <> 'demo') NOT VALID")
	if _, err := s.Write(t.Context(), numbered(50, 60)); err == nil || !strings.Contains(err.Error(), "constraint no") {
		t.Errorf("got %v, want an error with the constraint", err)
	}
}

// TestManyUnfit has a trigger that reports every row as unfit. The batch fails,
// and no row is left out.
func TestManyUnfit(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	d.SQL(t, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', NEW.properties USING ERRCODE = '22000'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()`)
	_, err := s.Write(t.Context(), numbered(0, 300))
	if err == nil || !strings.Contains(err.Error(), "refuses more than 100 rows") || strings.Contains(err.Error(), `"n"`) {
		t.Errorf("got %v", err)
	}
	expect(t, d, "SELECT count(*) FROM events", "0")
	d.SQL(t, "DROP TRIGGER refuse ON events")
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, numbered(0, 300))
	expectEvents(t, d, 300, 300)
}

// TestErrorsHaveNoValues provokes errors whose texts have values and
// credentials.
func TestErrorsHaveNoValues(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	secret := "s3cret-value"
	batch := &destination.Batch{Store: storeID, Through: 1, Events: []destination.Event{event(1, "visit", `{"p":"`+secret+`"}`)}}
	for _, code := range []string{"23514", "P0001", "53100", "40001", "XX000"} {
		message := "'%', NEW.properties"
		if code == "53100" {
			message = "'could not extend file: No space left on device'"
		}
		d.SQL(t, `CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION `+message+` USING ERRCODE = '`+code+`', DETAIL = NEW.properties::text, HINT = NEW.properties::text; END $$;
CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION fail()`)
		_, err := s.Write(t.Context(), batch)
		var final *destination.FinalError
		if err == nil || errors.As(err, &final) || !strings.Contains(err.Error(), code) || strings.Contains(err.Error(), secret) {
			t.Errorf("SQLSTATE %s: got %v, want a temporary error without values", code, err)
		}
		if code == "53100" && !strings.Contains(err.Error(), "No space left") {
			t.Errorf("a full disk: got %v", err)
		}
		expect(t, d, "SELECT count(*) FROM events", "0")
	}
	d.SQL(t, "DROP TRIGGER fail ON events")
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, batch) // it heals
	expect(t, d, "SELECT count(*) FROM events", "1")

	for _, url := range []string{
		strings.Replace(d.URL(), "pa%3Ass", "wrong", 1),
		strings.Replace(d.URL(), "127.0.0.1", "127.0.0.1:1,127.0.0.1", 1),
		strings.Replace(d.URL(), "sslmode=disable", "sslmode=require", 1),
		d.URL() + "&target_session_attrs=standby",
	} {
		s := unprepared(t, url)
		_, err := s.Prepare(t.Context())
		var final *destination.FinalError
		if err == nil && strings.Contains(url, ":1,") {
			continue // the second host answered
		}
		if err == nil || errors.As(err, &final) {
			t.Errorf("got %v, want a temporary error", err)
			continue
		}
		for _, part := range []string{"pa:ss", "pa%3A", "wo/rd", "wrong", "ss@"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("the error has a part of the password: %v", err)
			}
		}
		t.Log(err)
	}
	for _, url := range []string{"", "postgres://u:" + secret + "@[::1", "postgres://u:" + secret + "@h:x/d", "host=h password=" + secret + " sslmode=never", "mysql://u:" + secret + "@h/d"} {
		if _, err := postgres.New(config.Destination{Name: "w", URL: url}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", url, err)
		}
	}
}

// TestNewRefuses has settings that cannot work.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	many := func(d *config.Destination) {
		for i := range 251 {
			d.Columns = append(d.Columns, config.Column{Property: fmt.Sprint("p", i), As: "text"})
		}
	}
	for want, edit := range map[string]func(*config.Destination){
		"has room for 250":         many,
		"at most 63 bytes":         columns("* " + strings.Repeat("ä", 32) + " text"),
		"Trackway's own columns":   columns("* Properties text"),
		"belong to PostgreSQL":     func(d *config.Destination) { d.Prefix = "pg_x" },
		"the name of a schema has": func(d *config.Destination) { d.Prefix = strings.Repeat("x", 64) },
	} {
		c := config.Destination{Name: "w", URL: "postgres://h/d"}
		edit(&c)
		if _, err := postgres.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestTwoWriters has a Trackway that was replaced and does not know it.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	d := database(t)
	first, second := open(t, d), open(t, d)
	write(t, first, numbered(0, 10))
	write(t, first, numbered(10, 20))
	write(t, second, numbered(5, 15)) // it knows less, and takes over
	_, err := first.Write(t.Context(), numbered(20, 30))
	expectFinal(t, err, "another Trackway has begun to write")
	write(t, second, numbered(20, 25))
	expectEvents(t, d, 25, 25)
	// Reading and checking replace nobody.
	third := open(t, d)
	if err := third.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if err := third.Mend(t.Context(), 3, 4, numbered(2, 3).Events); err != nil {
		t.Error(err)
	}
	write(t, second, numbered(25, 30))
	expectEvents(t, d, 30, 30)
}

// TestOneAtATime has a writer that must wait for another writer's transaction.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	write(t, s, numbered(0, 10))
	d.SQL(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
PERFORM pg_advisory_xact_lock(4711); RETURN NEW; END $$;
CREATE TRIGGER wait BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION wait()`)
	slow, fast := open(t, d), open(t, d)
	hold := d.Hold(t, 4711)
	done := make(chan error, 2)
	for _, w := range []*postgres.Sink{slow, fast} {
		go func() {
			_, err := w.Write(t.Context(), numbered(10, 20))
			done <- err
		}()
	}
	d.Await(t, "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND NOT granted", "2")
	hold()
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	expectEvents(t, d, 20, 20)
}

// TestAnotherStore finds the tables of another store or destination. Their
// events may have the same numbers.
func TestAnotherStore(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	write(t, s, numbered(0, 10))
	b := numbered(10, 20)
	b.Store = "another"
	_, err := s.Write(t.Context(), b)
	expectFinal(t, err, "rewind")
	renamed := unprepared(t, d.URL(), func(c *config.Destination) { c.Name = "lake" })
	_, err = renamed.Prepare(t.Context())
	expectFinal(t, err, `UPDATE "public"."trackway_position" SET destination = 'lake'`)
	expectFinal(t, renamed.Check(t.Context()), "another schema (prefix)")
	if err := s.Rewind(t.Context(), destination.Position{Store: "another", Number: 10}); err != nil {
		t.Fatal(err)
	}
	write(t, s, b)
	expect(t, d, "SELECT count(*) FROM events", "20")
	expect(t, d, "SELECT store, number FROM trackway_position", "another|20")
	elsewhere := open(t, d, func(c *config.Destination) { c.Name, c.Prefix = "lake", `o"ther's` })
	write(t, elsewhere, numbered(0, 5))
	expect(t, d, `SELECT count(*) FROM "o""ther's".events_by_person`, "5")
}

// TestLostAnswer loses the answer to a COMMIT that the server has carried out.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	d := database(t)
	shared, err := server()
	if err != nil {
		t.Fatal(err)
	}
	proxy := shared.Proxy(t)
	s := unprepared(t, d.At(proxy.Port), columns("* n text"))
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := numbered(0, 10)
	b.Events[3].Customer = 1 << 63 // which does not fit
	proxy.LoseCommit()
	if _, err := s.Write(t.Context(), b); err == nil || !proxy.Lost() {
		t.Fatalf("got %v, want an error", err)
	}
	p, err := s.Prepare(t.Context())
	if err != nil || p.Number != 10 {
		t.Fatalf("got position %v, %v", p, err)
	}
	// The engine repeats the batch, and the sink reports again what it left
	// out.
	if rejects := write(t, s, b); len(rejects) != 1 || rejects[0].Number != 4 {
		t.Errorf("got rejects %v", rejects)
	}
	if rejects := write(t, s, numbered(10, 13)); len(rejects) != 0 {
		t.Errorf("got rejects %v again", rejects)
	}
	proxy.LoseCommit()
	if _, err := s.Write(t.Context(), numbered(13, 20)); err == nil {
		t.Fatal("no error")
	}
	write(t, s, numbered(13, 20))
	expect(t, d, "SELECT count(*), count(DISTINCT seq), max(seq) FROM events", "19|19|20")
}

// TestBrokenAndDead breaks the connection, then finds no server, and gives up
// when told to.
func TestBrokenAndDead(t *testing.T) {
	t.Parallel()
	own := postgrestest.Start(t)
	d := own.Database(t)
	proxy := own.Proxy(t)
	s := unprepared(t, d.At(proxy.Port))
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, numbered(0, 10))
	proxy.Cut()
	if _, err := s.Write(t.Context(), numbered(10, 20)); err == nil {
		t.Error("a broken connection: no error")
	}
	write(t, s, numbered(10, 20))
	own.Kill()
	for range 3 {
		if _, err := s.Prepare(t.Context()); err == nil {
			t.Error("a dead server: no error")
		}
	}
	if err := own.Run(); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Prepare(t.Context()); err != nil || p.Number != 20 {
		t.Errorf("got position %v, %v", p, err)
	}
	expectEvents(t, d, 20, 20)

	// A statement that hangs ends when the context does.
	d.SQL(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
CREATE TRIGGER wait BEFORE INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION wait()`)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Write(ctx, numbered(20, 30))
		done <- err
	}()
	d.Await(t, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", "1")
	why := errors.New("told to stop")
	cancel(why)
	if err := <-done; !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	d.Await(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'trackway'", "0")
}

// TestKilled kills the server, or only the processes of its connections, at
// random times while batches are written.
func TestKilled(t *testing.T) {
	t.Parallel()
	own := postgrestest.Start(t)
	d := own.Database(t)
	s := open(t, d)
	const rounds = 6
	stop := make(chan struct{})
	written := make(chan uint64, 1)
	failed := make(chan error, 1)
	var after uint64
	go func() {
		defer close(failed)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := s.Write(t.Context(), numbered(after, after+500)); err == nil {
				after += 500
				select {
				case written <- after:
				default:
				}
				continue
			}
			for {
				p, err := s.Prepare(t.Context())
				if err == nil {
					after = p.Number
					break
				}
				if _, ok := errors.AsType[*destination.FinalError](err); ok {
					failed <- err
					return
				}
				<-time.After(10 * time.Millisecond) // the server recovers
			}
		}
	}()
	for i := range rounds {
		for range 2 + i {
			<-written // it is at work again
		}
		if i%2 == 0 {
			own.KillBackends(t)
			continue
		}
		own.Kill()
		if err := own.Run(); err != nil {
			t.Fatal(err)
		}
	}
	<-written
	close(stop)
	for err := range failed {
		t.Fatal(err)
	}
	expectEvents(t, d, after, after)
}

// TestCheck leaves nothing behind, neither rows nor tables.
func TestCheck(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := unprepared(t, d.URL())
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, d, "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
	write(t, open(t, d), numbered(0, 3))
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectEvents(t, d, 3, 3)
	d.SQL(t, `CREATE FUNCTION drop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER drop BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION drop()`)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "trigger") {
		t.Errorf("a trigger that drops rows: got %v", err)
	}
}

func TestReadAndMend(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d, columns("* n bigint"))
	b := numbered(0, 30)
	b.Events[4].Properties = []byte(`{"":null,"a":{"b":[1,2.50],"c":"é\u0001\/"},"bb":true,"n":5}`)
	b.Events[4].Properties = []byte(strings.ReplaceAll(string(b.Events[4].Properties), `\/`, `/`))
	write(t, s, b)
	read := func(low, high uint64) (all []destination.Event) {
		err := s.Events(t.Context(), low, high, func(e *destination.Event) bool {
			own := *e
			own.Properties = slices.Clone(e.Properties)
			all = append(all, own)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if diff := cmp.Diff(b.Events, read(0, 1<<64-1)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(b.Events[2:5], read(3, 6)); diff != "" {
		t.Errorf("events of a range (-want +got):\n%s", diff)
	}
	n := 0
	if err := s.Events(t.Context(), 0, 100, func(*destination.Event) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("got %d events and %v, want to stop after 3", n, err)
	}
	d.SQL(t, `DELETE FROM events WHERE seq IN (3, 9); UPDATE events SET properties = '{}', n = 0 WHERE seq = 5;
INSERT INTO events SELECT 40, project, customer, type, at, received_at, properties FROM events WHERE seq = 1; UPDATE events SET seq = 41 WHERE seq = 30`)
	if err := s.Mend(t.Context(), 3, 10, b.Events[2:9]); err != nil {
		t.Fatal(err)
	}
	if err := s.Mend(t.Context(), 30, 100, b.Events[29:]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.Events, read(0, 1000)); diff != "" {
		t.Errorf("mended events (-want +got):\n%s", diff)
	}
	expect(t, d, "SELECT count(*) FROM events WHERE n = seq", "30")
	if err := s.Mend(t.Context(), 10, 20, nil); err != nil {
		t.Fatal(err)
	}
	expect(t, d, "SELECT count(*) FROM events", "20")
	expect(t, d, "SELECT number FROM trackway_position", "30")
}

// TestReadInPages reads more events than one query returns.
func TestReadInPages(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d)
	d.SQL(t, "INSERT INTO events SELECT 2 * i, 'demo', 1, 'visit', 'epoch', 'epoch', '{}' FROM generate_series(1, 20001) i")
	var next uint64 = 2
	err := s.Events(t.Context(), 0, 1<<40, func(e *destination.Event) bool {
		if e.Seq != next {
			t.Fatalf("got event %d, want %d", e.Seq, next)
		}
		next += 2
		return true
	})
	if err != nil || next != 40004 {
		t.Errorf("got %v, and events before %d", err, next)
	}
}

// TestPooler writes through PgBouncer. Each transaction may run in another
// session, and others have used these sessions.
func TestPooler(t *testing.T) {
	t.Parallel()
	d := database(t)
	port := d.Pooler(t)
	first := unprepared(t, d.At(port), columns("* n bigint"))
	second := unprepared(t, d.At(port), columns("* n bigint", "* more text"))
	after := uint64(0)
	for _, s := range []*postgres.Sink{first, second} {
		if _, err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			b := numbered(after, after+10)
			b.Customers = []destination.Customer{{Customer: 1, Project: "demo", Changed: after + 1, IDs: []trackway.Identifier{{Name: "cookie", Value: "c"}}}}
			write(t, s, b)
			write(t, s, b)
			after += 10
		}
		n := 0
		if err := s.Events(t.Context(), 0, 1000, func(*destination.Event) bool { n++; return true }); err != nil || uint64(n) != after {
			t.Errorf("got %d events and %v, want %d", n, err, after)
		}
	}
	expectEvents(t, d, 60, 60)
}
