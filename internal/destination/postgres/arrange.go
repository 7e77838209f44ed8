package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// arrange checks the server and the tables, and creates missing tables and
// views. It reports whether it has created a table. It alters only what this
// package has created, which it recognizes by the comment.
//
// If the position says that rows were written and their table is gone, it
// creates the table only if replace is set. Otherwise the rows would be missing
// without anybody noticing.
func (s *Sink) arrange(ctx context.Context, replace bool) (created bool, err error) {
	if err := s.checkServer(ctx); err != nil {
		return false, err
	}
	if created, err = s.createSchema(ctx); err != nil {
		return false, err
	}
	wanted, views := tables(s.columns), s.views()
	names := make([]string, 0, len(wanted)+len(views))
	for _, t := range wanted {
		names = append(names, t.name)
	}
	for _, v := range views {
		names = append(names, v.name)
	}
	there, err := s.survey(ctx, names)
	if err != nil {
		return false, err
	}
	if err := s.checkPrivileges(ctx, wanted, there); err != nil {
		return false, err
	}
	begun := false
	if there[positions] != nil && !replace {
		at, err := s.begun(ctx)
		if err != nil {
			return false, err
		}
		begun = at > 0
	}
	for i := range wanted {
		t := &wanted[i]
		if there[t.name] == nil && begun {
			return false, final("the table %s is gone, but the position says that it has rows: run `trackway destinations rewind %s --to beginning` to write them again", s.in(t.name), s.called)
		}
		made, err := s.arrangeTable(ctx, t, there[t.name])
		if err != nil {
			return false, err
		}
		created = created || made
	}
	for i := range views {
		if err := s.arrangeView(ctx, &views[i], there[views[i].name]); err != nil {
			return false, err
		}
	}
	return created, nil
}

func (s *Sink) checkServer(ctx context.Context) error {
	var version int
	var shown, encoding string
	err := s.conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('server_encoding')`).Scan(&version, &shown, &encoding)
	switch {
	case err != nil:
		return err
	case version < oldest:
		return final("PostgreSQL %s is too old: version 13 is the oldest that works", shown)
	case encoding != "UTF8":
		return final("the database has the encoding %s: create one with ENCODING 'UTF8'", encoding)
	}
	return nil
}

func (s *Sink) createSchema(ctx context.Context) (created bool, err error) {
	var exists bool
	if err := s.conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", s.schema).Scan(&exists); err != nil || exists {
		return false, err
	}
	return true, s.make(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(s.schema))
}

// make runs a statement that creates or alters something.
func (s *Sink) make(ctx context.Context, statement string) error {
	_, err := s.conn.Exec(ctx, statement)
	if state(err) == noPrivilege {
		return plain("%s. Let the role create tables in the schema %s, or run the statements that `trackway destinations ddl %s` prints", reason(err), quote(s.schema), s.name)
	}
	return err
}

// begun returns the number of the position, or 0.
func (s *Sink) begun(ctx context.Context) (number uint64, err error) {
	err = s.conn.QueryRow(ctx, fmt.Sprintf("SELECT coalesce(max(number), 0) FROM %s WHERE destination = $1", s.in(positions)), s.name).Scan(&number)
	return number, err
}

func (s *Sink) arrangeTable(ctx context.Context, t *table, f *found) (created bool, err error) {
	if f == nil {
		comment := fmt.Sprintf("COMMENT ON TABLE %s IS %s", s.in(t.name), literal(mark+". It adds the columns that its configuration declares, and changes nothing else"))
		statements := []string{s.create(t), comment}
		for _, i := range t.indexes {
			statements = append(statements, s.createIndex(t, i))
		}
		for _, statement := range statements {
			if err := s.make(ctx, statement); err != nil {
				return false, err
			}
		}
		return true, nil
	}
	lacking, err := s.missing(t, f)
	if err != nil {
		return false, err
	}
	for _, l := range lacking {
		if err := s.make(ctx, fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", s.in(t.name), quote(l.name), l.as)); err != nil {
			return false, err
		}
	}
	return false, nil
}

// checkPrivileges checks the privileges that a write needs, so that the error
// comes early and helps the operator.
func (s *Sink) checkPrivileges(ctx context.Context, wanted []table, there map[string]*found) error {
	var names []string
	for _, t := range wanted {
		if f := there[t.name]; f != nil && f.isTable() {
			names = append(names, s.in(t.name))
		}
	}
	rows, err := s.conn.Query(ctx, `SELECT string_agg(p, ', ' ORDER BY o) || ' ON ' || t FROM unnest($1::text[]) AS t,
	unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) WITH ORDINALITY AS p (p, o)
WHERE NOT has_table_privilege(t, p) GROUP BY t
UNION ALL SELECT 'TEMPORARY ON DATABASE ' || quote_ident(current_database()) WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')`, names)
	if err != nil {
		return err
	}
	var lacking string
	var grants []string
	_, err = pgx.ForEachRow(rows, []any{&lacking}, func() error {
		grants = append(grants, fmt.Sprintf("GRANT %s TO %s", lacking, quote(s.config.User)))
		return nil
	})
	if err == nil && len(grants) > 0 {
		err = plain("the role lacks rights: run %s", strings.Join(grants, "; "))
	}
	return err
}

// arrangeView creates a view, or replaces our own view if the declared columns
// have changed. A view that cannot be replaced because others depend on it
// stays as it is; its columns still exist. It leaves views of others alone.
func (s *Sink) arrangeView(ctx context.Context, v *view, f *found) error {
	if f != nil && (f.kind != "v" || !f.ours() || f.comment == v.comment()) {
		return nil
	}
	create := fmt.Sprintf("CREATE OR REPLACE VIEW %s AS %s", s.in(v.name), v.query)
	comment := fmt.Sprintf("COMMENT ON VIEW %s IS %s", s.in(v.name), literal(v.comment()))
	err := s.try(ctx, create, comment)
	if state(err) == notReplaceable {
		err = s.try(ctx, "DROP VIEW "+s.in(v.name), create, comment)
	}
	if state(err) == dependents {
		return nil
	}
	return err
}

// try runs statements, all or none of them, without ending the transaction.
func (s *Sink) try(ctx context.Context, statements ...string) error {
	if _, err := s.conn.Exec(ctx, "SAVEPOINT trackway"); err != nil {
		return err
	}
	for _, statement := range statements {
		if err := s.make(ctx, statement); err != nil {
			if _, back := s.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT trackway"); back != nil {
				return back
			}
			return err
		}
	}
	_, err := s.conn.Exec(ctx, "RELEASE SAVEPOINT trackway")
	return err
}

// survey returns what exists in the schema, by name.
func (s *Sink) survey(ctx context.Context, names []string) (map[string]*found, error) {
	there := map[string]*found{}
	rows, err := s.conn.Query(ctx, `SELECT c.relname, c.relkind::text, coalesce(obj_description(c.oid, 'pg_class'), ''),
	coalesce(a.attname, ''), coalesce(format_type(a.atttypid, a.atttypmod), ''), coalesce(a.attnotnull, false),
	coalesce(a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '', false)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1 AND c.relname = ANY ($2) AND c.relkind <> 'i'`, s.schema, names)
	if err != nil {
		return nil, err
	}
	var name, kind, comment string
	var field foundField
	_, err = pgx.ForEachRow(rows, []any{&name, &kind, &comment, &field.name, &field.as, &field.required, &field.filled}, func() error {
		if there[name] == nil {
			there[name] = &found{kind: kind, comment: comment}
		}
		there[name].fields = append(there[name].fields, field)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return there, s.surveyKeys(ctx, names, there)
}

// surveyKeys adds the unique indexes that ON CONFLICT can use.
func (s *Sink) surveyKeys(ctx context.Context, names []string, there map[string]*found) error {
	rows, err := s.conn.Query(ctx, `SELECT c.relname, array_agg(a.attname::text)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE n.nspname = $1 AND c.relname = ANY ($2) AND i.indisunique AND i.indisvalid AND i.indimmediate
	AND i.indpred IS NULL AND i.indexprs IS NULL AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, c.relname`, s.schema, names)
	if err != nil {
		return err
	}
	var name string
	var key []string
	_, err = pgx.ForEachRow(rows, []any{&name, &key}, func() error {
		if f := there[name]; f != nil {
			f.unique = append(f.unique, slices.Sorted(slices.Values(key)))
		}
		return nil
	})
	return err
}
