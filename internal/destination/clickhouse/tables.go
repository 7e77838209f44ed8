package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// mark is the comment of the tables and views that Trackway has created. It
// never alters others.
const mark = "made by Trackway"

// The columns that all tables have in the same form.
const (
	number    = "UInt64"
	text      = "String"
	fewTexts  = "LowCardinality(String)"
	timeType  = "DateTime64(6, 'UTC')"
	eventsKey = "seq"
)

// definition is a column of a table.
type definition struct {
	name, kind string
	codec      string // in addition to the default's
}

// table is a table that the sink writes.
type table struct {
	name      string
	columns   []definition
	partition string
	order     []string
	index     string // in addition to the order
}

// tables returns the tables. The first one is events.
func tables(declared *column.Set) []table {
	events := table{
		name: "events",
		columns: []definition{
			{name: "seq", kind: number},
			{name: "project", kind: fewTexts},
			{name: "customer", kind: number},
			{name: "type", kind: fewTexts},
			{name: "at", kind: timeType},
			{name: "received_at", kind: timeType},
			{name: "properties", kind: text, codec: "ZSTD(1)"},
			{name: "changed", kind: number},
		},
		partition: "toYYYYMM(at)",
		// Rows with the same sorting key replace each other, so the key must
		// end in something unique.
		order: []string{"project", "type", "at", eventsKey},
		// The index finds the events of a range of numbers without reading
		// everything.
		index: "INDEX by_seq seq TYPE minmax GRANULARITY 1",
	}
	for _, c := range declared.Columns {
		events.columns = append(events.columns, definition{name: c.Name, kind: typeOf(c.Type)})
	}
	return []table{
		events,
		{name: "customers", order: []string{"customer"}, columns: []definition{
			{name: "customer", kind: number},
			{name: "project", kind: fewTexts},
			{name: "properties", kind: text, codec: "ZSTD(1)"},
			{name: "created_at", kind: timeType},
			{name: "changed", kind: number},
			{name: "erased", kind: "Bool"},
		}},
		{name: "customer_ids", order: []string{"customer", "name", "value"}, columns: []definition{
			{name: "customer", kind: number}, {name: "name", kind: fewTexts}, {name: "value", kind: text}, {name: "changed", kind: number},
		}},
		{name: "customer_map", order: []string{"customer"}, columns: []definition{
			{name: "customer", kind: number}, {name: "survivor", kind: number}, {name: "changed", kind: number},
		}},
		{name: "erasures", order: []string{"erasure"}, columns: []definition{
			{name: "erasure", kind: number},
			{name: "project", kind: fewTexts},
			{name: "customer", kind: number},
			{name: "asked_at", kind: timeType},
			{name: "done_at", kind: "Nullable(" + timeType + ")"},
			{name: "changed", kind: number},
		}},
		{name: positionTable, order: []string{"destination"}, columns: []definition{
			{name: "destination", kind: text},
			{name: "store", kind: text},
			{name: "number", kind: number},
			{name: "owner", kind: text},
			{name: "rewinds", kind: number},
			{name: "changed", kind: number},
		}},
	}
}

// typeOf returns ClickHouse's name for the type of a declared column, as its
// system tables spell it.
func typeOf(t column.Type) string {
	inner := map[column.Kind]string{
		column.Text: text, column.BigInt: "Int64", column.Double: "Float64", column.Boolean: "Bool", column.Timestamp: timeType, column.Date: "Date32",
		column.Decimal: fmt.Sprintf("Decimal(%d, %d)", t.Precision, t.Scale),
	}[t.Kind]
	return "Nullable(" + inner + ")"
}

// create returns the statement that creates the table.
func (t *table) create(database string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s.%s\n(\n", name(database), name(t.name))
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString("    " + c.String())
	}
	if t.index != "" {
		b.WriteString(",\n    " + t.index)
	}
	b.WriteString("\n)\nENGINE = ReplacingMergeTree(changed)\n")
	if t.partition != "" {
		b.WriteString("PARTITION BY " + t.partition + "\n")
	}
	// Without a deduplication window, a table that is not replicated stores the
	// same block twice. By default ClickHouse leaves new rows to the kernel, so
	// a power cut could lose rows that it has acknowledged.
	fmt.Fprintf(&b, "ORDER BY (%s)\nSETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1\nCOMMENT %s",
		strings.Join(t.order, ", "), literal(mark))
	return b.String()
}

// String returns the definition as it appears in CREATE TABLE and ADD COLUMN.
func (c definition) String() string {
	s := name(c.name) + " " + c.kind
	if c.codec != "" {
		s += " CODEC(" + c.codec + ")"
	}
	return s
}

// view is a view of the tables.
type view struct{ name, query string }

// views returns the views. They list their columns, because ClickHouse fixes
// the columns of a view when it creates the view.
func views(database string, declared *column.Set) []view {
	db := name(database)
	byPerson := view{"events_by_person", ""}
	var own strings.Builder
	for _, c := range declared.Columns {
		fmt.Fprintf(&own, ", e.%s AS %[1]s", name(c.Name))
	}
	byPerson.query = "SELECT e.seq AS seq, e.project AS project, if(m.survivor = 0, e.customer, m.survivor) AS person, e.customer AS customer,\n" +
		"    e.type AS type, e.at AS at, e.received_at AS received_at, e.properties AS properties" + own.String() + "\n" +
		"FROM " + db + ".events AS e FINAL\n" +
		"LEFT JOIN (SELECT customer, survivor FROM " + db + ".customer_map FINAL) AS m ON e.customer = m.customer"
	all := []view{
		byPerson,
		{"current_customers", "SELECT customer, project, properties, created_at, changed, erased\nFROM " + db + ".customers FINAL\n" +
			"WHERE customer NOT IN (SELECT customer FROM " + db + ".customer_map)"},
		// The identifiers are written before the customer, so for a moment they
		// may be newer.
		{"current_ids", "SELECT i.customer AS customer, i.name AS name, i.value AS value, i.changed AS changed\n" +
			"FROM " + db + ".customer_ids AS i FINAL\n" +
			"INNER JOIN (SELECT customer, changed FROM " + db + ".customers FINAL) AS c ON i.customer = c.customer\n" +
			"WHERE i.changed >= c.changed"},
	}
	for _, t := range declared.Types() {
		var own strings.Builder
		for _, c := range declared.Of(t) {
			own.WriteString(", " + name(c.Name))
		}
		all = append(all, view{viewName(t), "SELECT seq, project, person, customer, at, received_at" + own.String() + "\n" +
			"FROM " + db + ".events_by_person\nWHERE type = " + literal(t)})
	}
	return all
}

// longestName is the maximum number of bytes that the name of a view may take
// in file names. ClickHouse's own limit is 255 bytes, including the database
// and an id.
const longestName = 150

// viewName returns the name of the view of a type. A long one ends in a hash
// instead, so that two types never share a view.
func viewName(eventType string) string {
	const prefix = "v_"
	end, size := len(eventType), len(prefix)
	for i, r := range eventType {
		if size += sizeInFile(r); size > longestName {
			end = i
			break
		}
	}
	if end == len(eventType) {
		return prefix + eventType
	}
	sum := sha256.Sum256([]byte(eventType))
	return prefix + eventType[:end] + "_" + hex.EncodeToString(sum[:4])
}

// sizeInFile returns how many bytes a character takes in a file name.
// ClickHouse escapes each byte of most characters, as in %D1.
func sizeInFile(r rune) int {
	if r == '_' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
		return 1
	}
	const escaped = 3
	return escaped * utf8.RuneLen(r)
}

// create returns the statement that makes or replaces the view.
func (v *view) create(database string) string {
	return "CREATE OR REPLACE VIEW " + name(database) + "." + name(v.name) + " AS\n" + v.query + "\nCOMMENT " + literal(v.comment())
}

// comment returns the view's comment. It shows whether the definition has
// changed.
func (v *view) comment() string {
	sum := sha256.Sum256([]byte(v.query))
	return mark + ", " + hex.EncodeToString(sum[:4])
}

// name quotes the name of a database, table or column.
func name(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}

// literal quotes a text.
func literal(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}

// found is an existing table or view of the database.
type found struct {
	Name    string `json:"name"`
	Engine  string `json:"engine_full"`
	Sorting string `json:"sorting_key"`
	Comment string `json:"comment"`

	columns map[string]string // the types
}

// look returns the existing tables and views of the database.
func (s *Sink) look(ctx context.Context) (map[string]*found, error) {
	all := map[string]*found{}
	in := " WHERE database = " + literal(s.database)
	err := s.client.rows(ctx, "read the tables", "SELECT name, if(engine_full = '', engine, engine_full) AS engine_full, sorting_key, comment FROM system.tables"+in+" FORMAT JSONEachRow", nil,
		func(line []byte) error {
			f := &found{columns: map[string]string{}}
			if err := json.Unmarshal(line, f); err != nil {
				return errAnswer
			}
			all[f.Name] = f
			return nil
		})
	if err != nil {
		return nil, err
	}
	err = s.client.rows(ctx, "read the columns", "SELECT table, name, type FROM system.columns"+in+" FORMAT JSONEachRow", nil,
		func(line []byte) error {
			var c struct {
				Table string `json:"table"`
				Name  string `json:"name"`
				Type  string `json:"type"`
			}
			if err := json.Unmarshal(line, &c); err != nil {
				return errAnswer
			}
			if f := all[c.Table]; f != nil {
				f.columns[c.Name] = c.Type
			}
			return nil
		})
	return all, err
}

// create creates what is missing, and adds declared columns to a table that
// Trackway has created. Any other difference is a final error.
func (s *Sink) create(ctx context.Context, have map[string]*found) error {
	if len(have) == 0 {
		if err := s.createDatabase(ctx); err != nil {
			return err
		}
	}
	for _, t := range s.tables {
		f := have[t.name]
		if f == nil {
			if err := s.client.exec(ctx, "create table "+t.name, t.create(s.database), nil); err != nil {
				return err
			}
			continue
		}
		if err := s.compare(ctx, &t, f); err != nil {
			return err
		}
	}
	for _, v := range s.views {
		f := have[v.name]
		if f != nil && (f.Comment == v.comment() || !strings.HasPrefix(f.Comment, mark)) {
			continue // the view is up to date, or belongs to the operator
		}
		if err := s.client.exec(ctx, "create view "+v.name, v.create(s.database), nil); err != nil {
			return err
		}
	}
	return nil
}

// createDatabase creates the database unless it exists. It checks first,
// because a user may lack the right to create one.
func (s *Sink) createDatabase(ctx context.Context) error {
	exists, err := s.databaseExists(ctx)
	if err != nil || exists {
		return err
	}
	return s.client.exec(ctx, "create the database", s.createsDatabase(), nil)
}

func (s *Sink) databaseExists(ctx context.Context) (exists bool, err error) {
	err = s.client.rows(ctx, "read the databases", "SELECT 1 FROM system.databases WHERE name = "+literal(s.database), nil,
		func([]byte) error { exists = true; return nil })
	return exists, err
}

func (s *Sink) createsDatabase() string { return "CREATE DATABASE IF NOT EXISTS " + name(s.database) }

// versioned matches the engines in which a row with a higher changed replaces
// others.
var versioned = regexp.MustCompile(`^\w*ReplacingMergeTree\((.*, )?changed\)`)

// compare refuses a table that would lose rows, or into which rows could not be
// written.
func (s *Sink) compare(ctx context.Context, t *table, f *found) error {
	refuse := func(format string, args ...any) error {
		return &destination.FinalError{Err: fmt.Errorf("table %s.%s "+format+": change it, or drop it and rewind; `trackway destinations ddl` shows what it should be",
			append([]any{s.database, t.name}, args...)...)}
	}
	if !versioned.MatchString(f.Engine) {
		return refuse("does not have the engine ReplacingMergeTree(changed)")
	}
	sorting := strings.Split(strings.Trim(f.Sorting, "()"), ", ")
	if t.name == "events" && sorting[len(sorting)-1] != eventsKey {
		return refuse("has an ORDER BY that does not end in seq, and would lose events")
	}
	if t.name != "events" && !slices.Equal(sorting, t.order) {
		return refuse("is not ordered by (%s), and would lose rows", strings.Join(t.order, ", "))
	}
	own := len(t.columns)
	if t.name == "events" {
		own -= len(s.declared.Columns)
	}
	for i, c := range t.columns {
		kind, exists := f.columns[c.name]
		switch {
		case !exists && i >= own && f.Comment == mark:
			if err := s.client.exec(ctx, "add a column to events", "ALTER TABLE "+s.in(t.name)+" ADD COLUMN IF NOT EXISTS "+c.String(), nil); err != nil {
				return err
			}
		case !exists && i >= own:
			return refuse("was not made by Trackway and lacks the column %q of type %s", c.name, c.kind)
		case !exists:
			return refuse("lacks the column %q of type %s", c.name, c.kind)
		case plainType(kind) != plainType(c.kind):
			return refuse("has the column %q of type %s instead of %s", c.name, kind, c.kind)
		}
	}
	return nil
}

// plainType returns a type without modifiers that do not change which values it
// can hold.
func plainType(kind string) string {
	if inner, ok := strings.CutPrefix(kind, "LowCardinality("); ok {
		return strings.TrimSuffix(inner, ")")
	}
	return kind
}

// in returns the full name of a table.
func (s *Sink) in(table string) string { return name(s.database) + "." + name(table) }

// DDL returns the statements that create the database, the tables and the
// views.
func (s *Sink) DDL() string {
	var b strings.Builder
	b.WriteString("-- Tables and views for Trackway, kind clickhouse. On a cluster, use\n" +
		"-- ReplicatedReplacingMergeTree with the version column changed.\n\n" + s.createsDatabase() + ";\n")
	for _, t := range s.tables {
		b.WriteString("\n" + t.create(s.database) + ";\n")
	}
	for _, v := range s.views {
		b.WriteString("\n" + v.create(s.database) + ";\n")
	}
	return b.String()
}
