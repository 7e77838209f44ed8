package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination"
)

// TestAlteredTables has tables that somebody has altered so that Trackway
// cannot write, or that are not Trackway's.
func TestAlteredTables(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		`ALTER TABLE events DROP COLUMN received_at CASCADE`:                                             `table "public"."events" lacks the column "received_at": run ALTER TABLE "public"."events" ADD COLUMN "received_at" timestamp with time zone`,
		`ALTER TABLE events RENAME COLUMN type TO kind`:                                                  `lacks the column "type"`,
		`ALTER TABLE events ALTER COLUMN project TYPE varchar(3)`:                                        ``,
		`ALTER TABLE customers ALTER COLUMN project TYPE varchar(9)`:                                     `column "project" of table "public"."customers" is character varying(9), not text`,
		`ALTER TABLE events ADD note int NOT NULL DEFAULT 1; ALTER TABLE events ALTER note DROP DEFAULT`: `column "note" of table "public"."events" is NOT NULL without a default`,
		`ALTER TABLE events ADD COLUMN note text NOT NULL DEFAULT 'x'`:                                   `-`,
		`ALTER TABLE events ADD COLUMN id bigserial`:                                                     `-`,
		`ALTER TABLE events ALTER COLUMN total SET NOT NULL`:                                             `column "total" of table "public"."events" is NOT NULL, but not every row has a value`,
		`ALTER TABLE events DROP CONSTRAINT events_pkey`:                                                 `table "public"."events" has no primary key or unique index on (seq)`,
		`DROP INDEX events_type_at`:                                                                      `-`,
		`ALTER TABLE customer_ids DROP COLUMN removed`:                                                   `table "public"."customer_ids" lacks the column "removed"`,
		`DROP TABLE customers`:                                                                           `the table "public"."customers" is gone`,
		`DROP TABLE events CASCADE`:                                                                      `trackway destinations rewind ware'house --to beginning`,
		`DROP TABLE customers; CREATE VIEW customers AS SELECT 1 AS x`:                                   `"public"."customers" exists, but is not a table`,
		`DROP VIEW events_by_person; CREATE TABLE events_by_person (x int)`:                              `-`,
		`ALTER TABLE events OWNER TO postgres; GRANT SELECT ON events TO "tracker's"`:                    `run GRANT INSERT, UPDATE, DELETE ON "public"."events" TO`,
	} {
		t.Run(statement, func(t *testing.T) {
			t.Parallel()
			d := database(t)
			s := open(t, d, columns("* total decimal(12,2)"))
			b := numbered(0, 3)
			for i := range b.Events {
				b.Events[i].Properties = []byte(`{"total":1}`)
			}
			write(t, s, b)
			statement = strings.ReplaceAll(statement, `"tracker's"`, `"`+d.Role+`"`)
			if want == "" { // a view depends on it, so it fails in psql
				if _, err := d.Try(statement); err == nil {
					t.Error("psql: no error")
				}
				return
			}
			d.SQL(t, statement)
			_, err := s.Prepare(t.Context())
			if want == "-" {
				if err != nil {
					t.Fatal(err)
				}
				write(t, s, numbered(3, 6))
				expect(t, d, "SELECT count(*) FROM events", "6")
				return
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
			var final *destination.FinalError
			if !errors.As(err, &final) && !strings.Contains(statement, "OWNER") {
				t.Errorf("got the temporary error %v", err)
			}
		})
	}
}

// TestAlteredMeanwhile alters a table between two batches. The first attempt
// fails, Prepare reports the problem or repairs it, and nothing is lost.
func TestAlteredMeanwhile(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := open(t, d, columns("* n bigint"))
	write(t, s, numbered(0, 10))
	d.SQL(t, "ALTER TABLE events DROP COLUMN n CASCADE") // and the view
	if _, err := s.Write(t.Context(), numbered(10, 20)); err == nil || !strings.Contains(err.Error(), "column") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Prepare(t.Context()); err != nil { // which adds the column to our own table
		t.Fatal(err)
	}
	write(t, s, numbered(10, 20))
	expectEvents(t, d, 20, 20)
	expect(t, d, "SELECT count(n) FROM events_by_person", "10")
	d.SQL(t, "DROP TABLE events CASCADE")
	if _, err := s.Write(t.Context(), numbered(20, 30)); err == nil {
		t.Error("no error without a table")
	}
	_, err := s.Prepare(t.Context())
	expectFinal(t, err, "is gone")
	if err := s.Rewind(t.Context(), destination.Position{Store: storeID}); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Prepare(t.Context()); err != nil || p != (destination.Position{Store: storeID}) {
		t.Errorf("got position %v, %v", p, err)
	}
	write(t, s, numbered(0, 30))
	expectEvents(t, d, 30, 30)
}

// TestNewColumns later declares more columns, and then fewer.
func TestNewColumns(t *testing.T) {
	t.Parallel()
	d := database(t)
	odd := "purch\"a'se\\ %s " + strings.Repeat("ü", 40)
	write(t, open(t, d), numbered(0, 2))
	s := open(t, d, columns("* n bigint", "visit total text"), func(c *config.Destination) {
		c.Columns = append(c.Columns, config.Column{Type: odd, Property: "p", Name: `odd "name" 'é' \`, As: "text"})
	})
	b := numbered(2, 4)
	b.Events[1].Type, b.Events[1].Properties = odd, []byte(`{"n":4,"p":"q"}`)
	write(t, s, b)
	expect(t, d, "SELECT seq, n, total FROM v_visit ORDER BY seq", "1||", "2||", "3|3|")
	views := d.SQL(t, "SELECT relname FROM pg_class WHERE relkind = 'v' AND relname LIKE 'v\\_purch%'")
	if len(views) != 1 || len(views[0][0]) > 63 {
		t.Fatalf("got views %q", views)
	}
	expect(t, d, `SELECT seq, n, "odd ""name"" 'é' \" FROM "`+strings.ReplaceAll(views[0][0], `"`, `""`)+`"`, "4|4|q")

	// One column is added. A view of the operator depends on ours, which is
	// replaced.
	d.SQL(t, "CREATE VIEW mine AS SELECT seq, n FROM v_visit")
	s = open(t, d, columns("* n bigint", "visit total text", "* x double"))
	write(t, s, numbered(4, 5))
	expect(t, d, "SELECT seq, n, total, x FROM v_visit WHERE seq = 5", "5|5||")
	// After a rewind, old events have the new columns, too.
	if err := s.Rewind(t.Context(), destination.Position{Store: storeID}); err != nil {
		t.Fatal(err)
	}
	write(t, s, numbered(0, 2))
	if err := s.Rewind(t.Context(), destination.Position{Store: storeID, Number: 5}); err != nil {
		t.Fatal(err)
	}
	expect(t, d, "SELECT seq, n FROM events ORDER BY seq", "1|1", "2|2", "3|3", "4|4", "5|5")
	// A column is removed. Our view cannot be replaced, and stays. The column
	// stays, too.
	s = open(t, d, columns("visit total text"))
	write(t, s, numbered(5, 6))
	expect(t, d, "SELECT seq, n FROM mine ORDER BY seq", "1|1", "2|2", "3|3", "5|5", "6|")
	d.SQL(t, "DROP VIEW mine")
	open(t, d, columns("visit total text"))
	expect(t, d, "SELECT count(*) FROM pg_attribute WHERE attrelid = 'v_visit'::regclass AND attname = 'n'", "0")
	// An existing column gets another type.
	s = unprepared(t, d.URL(), columns("* n text"))
	_, err := s.Prepare(t.Context())
	expectFinal(t, err, `column "n" of table "public"."events" is bigint, not text`)
}

// TestOwnTables has tables that the operator has created with the printed
// statements. Trackway writes into them, but alters nothing.
func TestOwnTables(t *testing.T) {
	t.Parallel()
	d := database(t)
	s := unprepared(t, d.URL(), columns("purchase total decimal(12,2)", "* page text"), func(c *config.Destination) { c.Prefix = "own" })
	ddl := s.DDL()
	for range 2 { // running them again does no harm
		if _, err := d.Try(ddl); err != nil {
			t.Fatal(err)
		}
	}
	before := d.SQL(t, "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'own'::regnamespace ORDER BY 1")
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	b := numbered(0, 3)
	b.Events[0].Type, b.Events[0].Properties = "purchase", []byte(`{"total":1}`)
	write(t, s, b)
	expect(t, d, "SELECT total FROM own.v_purchase", "1.00")
	if after := d.SQL(t, "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'own'::regnamespace ORDER BY 1"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("got %v, want %v", after, before)
	}
	s = unprepared(t, d.URL(), columns("purchase total decimal(12,2)", "* page text", "* more text"), func(c *config.Destination) { c.Prefix = "own" })
	_, err := s.Prepare(t.Context())
	expectFinal(t, err, `run ALTER TABLE "own"."events" ADD COLUMN "more" text`)
	// They equal the tables that Trackway creates itself.
	open(t, d, columns("purchase total decimal(12,2)", "* page text"), func(c *config.Destination) { c.Prefix = "made" })
	const describe = `SELECT c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relnamespace = '%s'::regnamespace ORDER BY 1, a.attnum`
	if ours, theirs := d.SQL(t, fmt.Sprintf(describe, "made")), d.SQL(t, fmt.Sprintf(describe, "own")); fmt.Sprint(ours) != fmt.Sprint(theirs) {
		t.Errorf("made are %v,\nprinted %v", ours, theirs)
	}
}

// TestNoRights has a role that may not create tables.
func TestNoRights(t *testing.T) {
	t.Parallel()
	d := database(t)
	d.SQL(t, "ALTER SCHEMA public OWNER TO postgres; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	s := unprepared(t, d.URL())
	if _, err := s.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "permission denied for schema public") || !strings.Contains(err.Error(), "destinations ddl") {
		t.Errorf("got %v", err)
	}
	d.SQL(t, s.DDL())
	if _, err := s.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT SELECT, INSERT, UPDATE, DELETE ON \"public\".\"customer_map\" TO") {
		t.Errorf("got %v", err)
	}
	d.SQL(t, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "`+d.Role+`"`)
	if _, err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, numbered(0, 3))
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWrongEncoding has a database that cannot hold every text.
func TestWrongEncoding(t *testing.T) {
	t.Parallel()
	d := database(t)
	d.SQL(t, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	before, _, _ := strings.Cut(d.URL(), "/ware")
	_, err := unprepared(t, before+"/latin?sslmode=disable").Prepare(t.Context())
	expectFinal(t, err, "ENCODING 'UTF8'")
}
