package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"trackway/internal/destination"
)

// customers writes the rows of customers, their identifiers and their merges.
func (w *writing) customers(ctx context.Context) error {
	_, err := w.conn.Exec(ctx, `CREATE TEMPORARY TABLE trackway_customers (customer bigint NOT NULL, project text NOT NULL, properties jsonb NOT NULL,
	created_at timestamptz NOT NULL, changed bigint NOT NULL, erased boolean NOT NULL, survivor bigint NOT NULL) ON COMMIT DROP;
CREATE TEMPORARY TABLE trackway_ids (customer bigint NOT NULL, name text NOT NULL, value text NOT NULL) ON COMMIT DROP`)
	if err != nil {
		return err
	}
	fit := make([]destination.Customer, 0, len(w.batch.Customers))
	for _, c := range w.batch.Customers {
		if c.Customer > math.MaxInt64 || c.Changed > math.MaxInt64 {
			w.reject(c.Changed, customers, "a number exceeds bigint")
			continue
		}
		fit = append(fit, c)
	}
	return halve(ctx, w, fit, w.putCustomers, func(c *destination.Customer, why string) { w.reject(c.Changed, customers, why) })
}

// putCustomers writes some of the customers. All rows go through temporary
// tables. First, it removes from these the customers whose stored row is newer.
func (w *writing) putCustomers(ctx context.Context, rows []destination.Customer) error {
	if _, err := w.conn.Exec(ctx, "TRUNCATE pg_temp.trackway_customers, pg_temp.trackway_ids"); err != nil {
		return err
	}
	_, err := w.conn.CopyFrom(ctx, pgx.Identifier{temporary, stagedCustomers},
		[]string{"customer", "project", "properties", "created_at", "changed", "erased", "survivor"}, &customerSource{rows: rows})
	if err != nil {
		return err
	}
	var identifiers []idRow
	for i := range rows {
		for _, id := range rows[i].IDs {
			identifiers = append(identifiers, idRow{int64(rows[i].Customer), id.Name, id.Value})
		}
	}
	if len(identifiers) > 0 {
		_, err = w.conn.CopyFrom(ctx, pgx.Identifier{temporary, stagedIDs}, []string{"customer", "name", "value"}, &idSource{rows: identifiers})
		if err != nil {
			return err
		}
	}
	people, names := w.customerStatements()
	if err := w.run(ctx, people); err != nil {
		return err
	}
	// This comes before the identifiers, because an erasure removes the
	// identifiers of everybody who leads to the customer.
	if err := w.followChains(ctx); err != nil {
		return err
	}
	return w.run(ctx, names)
}

func (w *writing) run(ctx context.Context, statements []string) error {
	for _, statement := range statements {
		if _, err := w.conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// customerStatements returns statements that bring the tables to the staged
// state: people for customers and merges, names for identifiers.
//
// A removed identifier keeps its row, marked as removed, unless an erasure
// removed it. An erasure also removes the identifiers of all customers that the
// erased one had absorbed, because they named the same person.
func (w *writing) customerStatements() (people, names []string) {
	c, i, m := w.in(customers), w.in(ids), w.in(merges)
	people = []string{
		fmt.Sprintf(`DELETE FROM pg_temp.trackway_customers AS n USING %s AS c WHERE c.customer = n.customer AND c.changed > n.changed`, c),

		fmt.Sprintf(`INSERT INTO %s AS c (customer, project, properties, created_at, changed, erased)
SELECT customer, project, properties, created_at, changed, erased FROM pg_temp.trackway_customers ORDER BY customer
ON CONFLICT (customer) DO UPDATE SET project = excluded.project, properties = excluded.properties, created_at = excluded.created_at,
	changed = excluded.changed, erased = excluded.erased WHERE c.changed <= excluded.changed`, c),

		fmt.Sprintf(`INSERT INTO %s AS m (customer, survivor, changed)
SELECT customer, survivor, changed FROM pg_temp.trackway_customers WHERE survivor <> 0 ORDER BY customer
ON CONFLICT (customer) DO UPDATE SET survivor = excluded.survivor, changed = excluded.changed WHERE m.changed <= excluded.changed`, m),
	}
	names = []string{
		fmt.Sprintf(`DELETE FROM %s WHERE customer IN (SELECT customer FROM pg_temp.trackway_customers WHERE erased
	UNION SELECT m.customer FROM %s AS m JOIN pg_temp.trackway_customers AS n ON m.survivor = n.customer WHERE n.erased)`, i, m),

		fmt.Sprintf(`UPDATE %s AS i SET removed = true, changed = n.changed FROM pg_temp.trackway_customers AS n
WHERE i.customer = n.customer AND NOT i.removed AND i.changed <= n.changed
	AND NOT EXISTS (SELECT FROM pg_temp.trackway_ids AS t WHERE t.customer = i.customer AND t.name = i.name AND t.value = i.value)`, i),

		fmt.Sprintf(`INSERT INTO %s AS i (customer, name, value, changed, removed)
SELECT DISTINCT t.customer, t.name, t.value, n.changed, false FROM pg_temp.trackway_ids AS t JOIN pg_temp.trackway_customers AS n USING (customer)
ON CONFLICT (customer, name, value) DO UPDATE SET changed = excluded.changed, removed = false WHERE i.changed <= excluded.changed`, i),
	}
	return people, names
}

// followChains makes each absorbed customer lead to the last survivor. If a
// survivor was absorbed in turn, it redirects the rows that lead to it. A merge
// goes from a higher number to a lower one, so this ends.
func (w *writing) followChains(ctx context.Context) error {
	redirect := fmt.Sprintf(`UPDATE %[1]s AS m SET survivor = further.survivor FROM %[1]s AS further
WHERE m.survivor = further.customer AND further.survivor < further.customer
	AND (further.customer IN (SELECT customer FROM pg_temp.trackway_customers WHERE survivor <> 0)
		OR m.customer IN (SELECT customer FROM pg_temp.trackway_customers WHERE survivor <> 0))`, w.in(merges))
	for {
		tag, err := w.conn.Exec(ctx, redirect)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
	}
}

// erasures writes the batch's erasures. If an erasure with the same number is
// there in another form, it is from a store that this one has replaced.
func (w *writing) erasures(ctx context.Context) error {
	rows := w.batch.Erasures
	if len(rows) == 0 {
		return nil
	}
	var (
		numbers, who []int64
		projects     []string
		asked        []time.Time
		done         []*time.Time
	)
	for i := range rows {
		e := &rows[i]
		numbers, who = append(numbers, int64(e.ID)), append(who, int64(e.Customer))
		projects, asked = append(projects, e.Project), append(asked, e.Asked.Time())
		var at *time.Time
		if e.Done != 0 {
			t := e.Done.Time()
			at = &t
		}
		done = append(done, at)
	}
	_, err := w.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s AS e (erasure, project, customer, asked_at, done_at)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
ON CONFLICT (erasure) DO UPDATE SET project = excluded.project, customer = excluded.customer, asked_at = excluded.asked_at,
	done_at = CASE WHEN e.asked_at = excluded.asked_at THEN coalesce(excluded.done_at, e.done_at) ELSE excluded.done_at END`, w.in(erasures)), numbers, projects, who, asked, done)
	return err
}
