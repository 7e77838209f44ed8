package object

import (
	"fmt"
	"strings"

	"trackway/internal/destination/column"
)

// DDL returns views for DuckDB, with the names that the tables have everywhere.
func (s *Sink) DDL() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- Views on %s, for DuckDB. The objects themselves are the changes; the views show the\n-- latest state. They need no table: duckdb lake.db < views.sql, and then query lake.db.\n", s.o.Place)
	b.WriteString(s.o.Setup)
	for i, view := range []string{"events", "customers_changes", "customer_ids_changes", "customer_map_changes", "erasures"} {
		fmt.Fprintf(&b, "\nCREATE OR REPLACE VIEW %s AS\nSELECT * FROM %s;\n", view, s.source(s.tables[i]))
	}
	b.WriteString(latestViews)
	for _, eventType := range s.tables[events].columns.Types() {
		names := []string{"seq", "project", "customer", `"at"`, "received_at"} // AT is a word of DuckDB's
		for _, c := range s.tables[events].columns.Of(eventType) {
			names = append(names, quoted(c.Name))
		}
		fmt.Fprintf(&b, "\nCREATE OR REPLACE VIEW %s AS\nSELECT %s FROM events WHERE type = '%s';\n",
			quoted("v_"+eventType), strings.Join(names, ", "), strings.ReplaceAll(eventType, "'", "''"))
	}
	return b.String()
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// source is the expression that reads a table's objects.
func (s *Sink) source(t *table) string {
	glob := strings.ReplaceAll(s.o.Place, "'", "''") + "/" + t.name + "/*/*" + s.format.ending()
	if !s.format.joins() {
		return fmt.Sprintf("read_parquet('%s', union_by_name = true, hive_partitioning = true)", glob)
	}
	var columns []string
	for _, f := range t.fields {
		columns = append(columns, fmt.Sprintf("%s: '%s'", quoted(f.name), duckType(column.Type{Kind: f.kind}, f.json)))
	}
	for _, c := range t.columns.Columns {
		columns = append(columns, fmt.Sprintf("%s: '%s'", quoted(c.Name), duckType(c.Type, false)))
	}
	return fmt.Sprintf("read_ndjson('%s', hive_partitioning = true,\n    columns = {%s})", glob, strings.Join(columns, ", "))
}

func duckType(t column.Type, json bool) string {
	switch t.Kind {
	case column.Text:
		if json {
			return "JSON"
		}
		return "VARCHAR"
	case column.Timestamp:
		return "TIMESTAMPTZ"
	}
	return strings.ToUpper(t.String())
}

// latestViews show the latest state of tables that hold changes. A survivor may
// have been absorbed in turn, and always has a lower number than the customers
// that it absorbed. So the last survivor of a chain is the lowest.
const latestViews = `
CREATE OR REPLACE VIEW customer_map AS
WITH RECURSIVE step AS (
  SELECT customer, max_by(survivor, changed) AS survivor, max(changed) AS changed FROM customer_map_changes GROUP BY customer
), chain AS (
  SELECT customer, survivor, changed FROM step
  UNION ALL
  SELECT chain.customer, step.survivor, greatest(chain.changed, step.changed) FROM chain JOIN step ON step.customer = chain.survivor
)
SELECT customer, min(survivor) AS survivor, max(changed) AS changed FROM chain GROUP BY customer;

CREATE OR REPLACE VIEW customers AS
SELECT customer, project, properties, created_at, changed, erased FROM customers_changes
WHERE customer NOT IN (SELECT customer FROM customer_map_changes)
QUALIFY row_number() OVER (PARTITION BY customer ORDER BY changed DESC) = 1;

CREATE OR REPLACE VIEW customer_ids AS
WITH latest AS (
  SELECT customer, max(changed) AS changed
  FROM (SELECT customer, changed FROM customers_changes UNION ALL SELECT customer, changed FROM customer_map_changes) GROUP BY customer
)
SELECT i.customer, i.name, i.value, max(i.changed) AS changed, max(i.changed) < any_value(latest.changed) AS removed
FROM customer_ids_changes i JOIN latest USING (customer) GROUP BY i.customer, i.name, i.value;

CREATE OR REPLACE VIEW events_by_person AS
SELECT coalesce(m.survivor, e.customer) AS person, e.* FROM events e LEFT JOIN customer_map m USING (customer);
`
