package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"trackway/internal/destination/column"
)

// mark begins the comment on each table and view that this package has created.
// The package alters only what has such a comment.
const mark = "Made by Trackway"

// field is a column of a table.
type field struct {
	name, as string
	optional bool // may be NULL
}

// table is a table with the statements of its indexes.
type table struct {
	name    string
	fields  []field
	key     []string
	indexes []index
}

type index struct{ name, on string }

// The names of the tables.
const (
	events     = "events"
	customers  = "customers"
	ids        = "customer_ids"
	merges     = "customer_map"
	erasures   = "erasures"
	positions  = "trackway_position"
	byPerson   = "events_by_person"
	viewPrefix = "v_"
)

// tables returns the tables of a destination with these declared columns.
func tables(set *column.Set) []table {
	main := table{
		name: events,
		fields: []field{
			{"seq", "bigint", false},
			{"project", "text", false},
			{"customer", "bigint", false},
			{"type", "text", false},
			{"at", "timestamp with time zone", false},
			{"received_at", "timestamp with time zone", false},
			{"properties", "jsonb", false},
		},
		key: []string{"seq"},
		// There are few indexes, because each one costs more than the row
		// itself when a backlog is written. The views by type and the walks
		// over one person's events need these.
		indexes: []index{{"events_type_at", "type, at"}, {"events_customer_at", "customer, at"}},
	}
	for _, c := range set.Columns {
		main.fields = append(main.fields, field{c.Name, sqlType(c.Type), true})
	}
	return []table{
		main,
		{
			name: customers,
			fields: []field{
				{"customer", "bigint", false},
				{"project", "text", false},
				{"properties", "jsonb", false},
				{"created_at", "timestamp with time zone", false},
				{"changed", "bigint", false},
				{"erased", "boolean", false},
			},
			key: []string{"customer"},
		},
		{
			name: ids,
			fields: []field{
				{"customer", "bigint", false},
				{"name", "text", false},
				{"value", "text", false},
				{"changed", "bigint", false},
				{"removed", "boolean", false},
			},
			key:     []string{"customer", "name", "value"},
			indexes: []index{{"customer_ids_name_value", "name, value"}},
		},
		{
			name:    merges,
			fields:  []field{{"customer", "bigint", false}, {"survivor", "bigint", false}, {"changed", "bigint", false}},
			key:     []string{"customer"},
			indexes: []index{{"customer_map_survivor", "survivor"}},
		},
		{
			name: erasures,
			fields: []field{
				{"erasure", "bigint", false},
				{"project", "text", false},
				{"customer", "bigint", false},
				{"asked_at", "timestamp with time zone", false},
				{"done_at", "timestamp with time zone", true},
			},
			key: []string{"erasure"},
		},
		{
			name:   positions,
			fields: []field{{"destination", "text", false}, {"store", "text", false}, {"number", "bigint", false}, {"writer", "text", true}},
			key:    []string{"destination"},
		},
	}
}

// sqlType returns the type of a column as PostgreSQL's format_type spells it.
func sqlType(t column.Type) string {
	switch t.Kind {
	case column.Double:
		return "double precision"
	case column.Timestamp:
		return "timestamp with time zone"
	case column.Decimal:
		return fmt.Sprintf("numeric(%d,%d)", t.Precision, t.Scale)
	default:
		return t.String()
	}
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// in returns a name in the schema.
func (s *Sink) in(name string) string { return pgx.Identifier{s.schema, name}.Sanitize() }

// create returns the statement that creates a table.
func (s *Sink) create(t *table) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s (\n", s.in(t.name))
	for _, f := range t.fields {
		fmt.Fprintf(&b, "    %s %s", quote(f.name), f.as)
		if !f.optional {
			b.WriteString(" NOT NULL")
		}
		b.WriteString(",\n")
	}
	keys := make([]string, len(t.key))
	for i, k := range t.key {
		keys[i] = quote(k)
	}
	fmt.Fprintf(&b, "    PRIMARY KEY (%s)\n)", strings.Join(keys, ", "))
	return b.String()
}

func (s *Sink) createIndex(t *table, i index) string {
	return fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (%s)", quote(i.name), s.in(t.name), i.on)
}

// view is a view with the statement that selects its rows.
type view struct{ name, query string }

// comment returns what [Sink.put] writes as the comment of a view. It shows
// whether the view still has the definition that the configuration asks for.
func (v *view) comment() string {
	sum := sha256.Sum256([]byte(v.query))
	return fmt.Sprintf("%s. It replaces the view if the declared columns change. Definition %s", mark, hex.EncodeToString(sum[:8]))
}

// views returns the views: all events by person, and one view for each type of
// events with columns of its own. Declared columns come last, so that a column
// can be added to a view on which others depend.
func (s *Sink) views() []view {
	const own = "e.seq, e.project, coalesce(m.survivor, e.customer) AS person, e.customer"
	from := fmt.Sprintf("FROM %s e LEFT JOIN %s m ON m.customer = e.customer", s.in(events), s.in(merges))
	list := func(columns []column.Column) string {
		var b strings.Builder
		for _, c := range columns {
			b.WriteString(", e." + quote(c.Name))
		}
		return b.String()
	}
	all := []view{{byPerson, fmt.Sprintf("SELECT %s, e.type, e.at, e.received_at, e.properties%s\n%s", own, list(s.columns.Columns), from)}}
	for _, t := range s.columns.Types() {
		all = append(all, view{viewName(t), fmt.Sprintf(
			"SELECT %s, e.at, e.received_at, e.properties%s\n%s\nWHERE e.type = %s", own, list(s.columns.Of(t)), from, literal(t))})
	}
	return all
}

// longest is the maximum number of bytes of a name in PostgreSQL, which cuts
// longer ones.
const longest = 63

// viewName returns the name of the view of a type. A name that PostgreSQL would
// cut ends in a hash instead, so that two types never share a view.
func viewName(eventType string) string {
	name := viewPrefix + eventType
	if len(name) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(eventType))
	end := "_" + hex.EncodeToString(sum[:4])
	cut := name[:longest-len(end)]
	return strings.ToValidUTF8(cut, "") + end
}

// literal returns a text as a constant of SQL, whatever the server's setting of
// standard_conforming_strings.
func literal(text string) string {
	text = strings.ReplaceAll(text, "'", "''")
	if strings.Contains(text, `\`) {
		return ` E'` + strings.ReplaceAll(text, `\`, `\\`) + `'`
	}
	return "'" + text + "'"
}

// DDL implements [destination.Describer]. Tables that an operator creates with
// these statements belong to the operator: Trackway never alters them.
func (s *Sink) DDL() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- The tables of the destination %s.\n", singleLine(s.name))
	b.WriteString("-- Trackway does not alter tables that were created with these statements.\n")
	b.WriteString("-- After a change of the declared columns, add them with ALTER TABLE, or run\n")
	b.WriteString("-- `trackway destinations ddl` again to see the new statements.\n\n")
	fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n\n", quote(s.schema))
	for _, t := range tables(s.columns) {
		b.WriteString(s.create(&t) + ";\n")
		for _, i := range t.indexes {
			b.WriteString(s.createIndex(&t, i) + ";\n")
		}
		b.WriteString("\n")
	}
	b.WriteString("-- A declared column that a table from an earlier time lacks.\n")
	for _, c := range s.columns.Columns {
		fmt.Fprintf(&b, "ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s;\n", s.in(events), quote(c.Name), sqlType(c.Type))
	}
	b.WriteString("\n")
	for _, v := range s.views() {
		fmt.Fprintf(&b, "CREATE OR REPLACE VIEW %s AS\n%s;\n\n", s.in(v.name), v.query)
	}
	fmt.Fprintf(&b, "-- What the role of Trackway needs, if it does not own the tables:\n-- GRANT USAGE ON SCHEMA %s TO …;\n", quote(s.schema))
	fmt.Fprintf(&b, "-- GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO …;\n", quote(s.schema))
	b.WriteString("-- GRANT TEMPORARY ON DATABASE … TO …;\n")
	return b.String()
}

// singleLine keeps a name on one line, so that it stays within a comment.
func singleLine(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, name)
}

// found is a table or view that exists.
type found struct {
	kind    string // of pg_class: r is a table, p a partitioned one, v a view
	comment string
	fields  []foundField
	unique  [][]string // columns of unique indexes that ON CONFLICT can use, sorted
}

type foundField struct {
	name, as string
	required bool // NOT NULL
	filled   bool // it has a default, or is generated
}

func (f *found) isTable() bool { return f.kind == "r" || f.kind == "p" }

func (f *found) ours() bool { return strings.HasPrefix(f.comment, mark) }

// missing compares a table with its definition. It returns the optional fields
// that the table lacks, or a final error.
func (s *Sink) missing(t *table, f *found) ([]field, error) {
	const advice = "`trackway destinations ddl %s` prints what the tables should be"
	if !f.isTable() {
		return nil, final("%s exists, but is not a table: rename it, or give this destination another schema (prefix)", s.in(t.name))
	}
	var lacking []field
	for _, want := range t.fields {
		i := slices.IndexFunc(f.fields, func(have foundField) bool { return have.name == want.name })
		switch {
		case i < 0 && want.optional && f.ours():
			lacking = append(lacking, want)
		case i < 0:
			return nil, final("table %s lacks the column %s: run ALTER TABLE %s ADD COLUMN %s %s. "+advice,
				s.in(t.name), quote(want.name), s.in(t.name), quote(want.name), want.as, s.name)
		case f.fields[i].as != want.as:
			return nil, final("column %s of table %s is %s, not %s: alter it, or give the column another name. "+advice,
				quote(want.name), s.in(t.name), f.fields[i].as, want.as, s.name)
		case f.fields[i].required && want.optional:
			return nil, final("column %s of table %s is NOT NULL, but not every row has a value: run ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL",
				quote(want.name), s.in(t.name), s.in(t.name), quote(want.name))
		}
	}
	for _, have := range f.fields {
		own := slices.ContainsFunc(t.fields, func(want field) bool { return want.name == have.name })
		if !own && have.required && !have.filled {
			return nil, final("column %s of table %s is NOT NULL without a default, and Trackway does not fill it: give it a default, or run ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL",
				quote(have.name), s.in(t.name), s.in(t.name), quote(have.name))
		}
	}
	key := slices.Sorted(slices.Values(t.key))
	if !slices.ContainsFunc(f.unique, func(u []string) bool { return slices.Equal(u, key) }) {
		return nil, final("table %s has no primary key or unique index on (%s): add one. "+advice, s.in(t.name), strings.Join(t.key, ", "), s.name)
	}
	return lacking, nil
}
