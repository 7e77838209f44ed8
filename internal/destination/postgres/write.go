package postgres

import (
	"context"
	"fmt"
	"math"
	"strings"

	"github.com/jackc/pgx/v5"

	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// mostUnfit is how many rows of a batch the server may refuse as unfit. If it
// refuses more, the batch fails, because the cause is then not the rows but,
// for example, a trigger. Rows that are too large do not count: clients can
// send any number of them, and nothing is wrong with the server.
const mostUnfit = 100

// writing is a batch that is being written.
type writing struct {
	*Sink
	batch   *destination.Batch
	rejects []destination.Reject
	misfits column.Misfits
	unfit   int  // rows that the server refused
	staged  bool // the temporary table for events exists
	filled  bool // it may have rows
	marked  bool // the position has this sink's mark
}

// Write implements [destination.Sink].
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	w := &writing{Sink: s, batch: b}
	if err := s.transaction(ctx, "write a batch", w.all); err != nil {
		return nil, err
	}
	s.writes = s.writes || w.marked
	s.misfits.Take(&w.misfits)
	return w.rejects, nil
}

func (w *writing) all(ctx context.Context) error {
	b := w.batch
	if err := w.claim(ctx); err != nil {
		return err
	}
	if err := w.events(ctx); err != nil {
		return err
	}
	if len(b.Rewritten) > 0 {
		if err := w.putStaged(ctx, b.Rewritten, w.replace); err != nil {
			return err
		}
	}
	if len(b.Customers) > 0 {
		if err := w.customers(ctx); err != nil {
			return err
		}
	}
	return w.erasures(ctx)
}

// claim checks that the batch may be written, and records its position in the
// same transaction.
func (w *writing) claim(ctx context.Context) error {
	b := w.batch
	at, err := w.recorded(ctx)
	switch {
	case err != nil:
		return err
	case at.store != "" && at.store != b.Store:
		return final("the tables have the events of another store (%s): give this destination another schema (prefix), or run `trackway destinations rewind %s` if its store has replaced the other", at.store, w.called)
	case at.store != "" && at.number < b.After:
		return plain("the position is %d, before the batch, which begins after %d", at.number, b.After)
	}
	if err := w.replaced(at); err != nil {
		return err
	}
	if at.store == "" && b.After == b.Through {
		return nil // it moves nothing
	}
	_, err = w.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s AS p (destination, store, number, writer) VALUES ($1, $2, $3, $4)
ON CONFLICT (destination) DO UPDATE SET number = greatest(p.number, excluded.number), writer = excluded.writer`, w.in(positions)),
		w.name, b.Store, b.Through, w.writer)
	w.marked = err == nil
	return err
}

// events adds the new events.
func (w *writing) events(ctx context.Context) error {
	b := w.batch
	if len(b.Events) == 0 {
		return nil
	}
	var there bool
	err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s WHERE seq BETWEEN $1 AND $2)", w.in(events)),
		b.Events[0].Seq, b.Events[len(b.Events)-1].Seq).Scan(&there)
	if err != nil {
		return err
	}
	if there {
		return w.putStaged(ctx, b.Events, w.add)
	}
	return w.put(ctx, b.Events, func(ctx context.Context, rows []destination.Event) error {
		return w.copyEvents(ctx, pgx.Identifier{w.schema, events}, rows)
	})
}

// put rejects the events that can never fit, and writes the others.
func (w *writing) put(ctx context.Context, rows []destination.Event, write writer) error {
	fit := make([]destination.Event, 0, len(rows))
	for i := range rows {
		if why := unfitEvent(&rows[i]); why != "" {
			w.reject(rows[i].Seq, events, why)
			continue
		}
		fit = append(fit, rows[i])
	}
	return halve(ctx, w, fit, write, func(e *destination.Event, why string) { w.reject(e.Seq, events, why) })
}

// writer writes events, all or none of them.
type writer func(ctx context.Context, rows []destination.Event) error

// halve writes rows. If the server reports a value as unfit, it writes each
// half separately, and so on, until it has found the rows to reject. This is
// for rows that nobody can recognize in advance: those that are too large for a
// page, or for an index that an operator has added.
func halve[R any](ctx context.Context, w *writing, rows []R, write func(context.Context, []R) error, reject func(*R, string)) error {
	if len(rows) == 0 {
		return nil
	}
	if _, err := w.conn.Exec(ctx, "SAVEPOINT trackway"); err != nil {
		return err
	}
	err := write(ctx, rows)
	if err == nil {
		_, err = w.conn.Exec(ctx, "RELEASE SAVEPOINT trackway")
		return err
	}
	if !unfit(err) {
		return err
	}
	if len(rows) == 1 {
		if state(err) != tooLarge {
			w.unfit++
		}
		if w.unfit > mostUnfit {
			return plain("the server refuses more than %d rows of a batch: %s", mostUnfit, reason(err))
		}
		reject(&rows[0], "PostgreSQL refuses the row: "+reason(err))
	}
	if _, err := w.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT trackway; RELEASE SAVEPOINT trackway"); err != nil || len(rows) == 1 {
		return err
	}
	if err := halve(ctx, w, rows[:len(rows)/2], write, reject); err != nil {
		return err
	}
	return halve(ctx, w, rows[len(rows)/2:], write, reject)
}

func (w *writing) reject(number uint64, table, reason string) {
	w.rejects = append(w.rejects, destination.Reject{Number: number, Table: table, Reason: reason})
}

// unfitEvent says why an event can never fit, or returns an empty text.
func unfitEvent(e *destination.Event) string {
	if e.Seq > math.MaxInt64 || e.Customer > math.MaxInt64 {
		return "a number exceeds bigint"
	}
	return ""
}

// eventFields are the columns of the table events, with the declared ones.
func (s *Sink) eventFields() []string {
	names := append([]string(nil), column.Own...)
	for _, c := range s.columns.Columns {
		names = append(names, c.Name)
	}
	return names
}

// copyEvents copies events into a table.
func (w *writing) copyEvents(ctx context.Context, into pgx.Identifier, rows []destination.Event) error {
	var misfits column.Misfits
	source := &eventSource{rows: rows, set: w.columns, misfits: &misfits}
	if _, err := w.conn.CopyFrom(ctx, into, w.eventFields(), source); err != nil {
		return err
	}
	w.misfits.Take(&misfits)
	return nil
}

// The temporary tables. They are dropped at the end of the transaction, because
// a pooler may give the session to somebody else.
const (
	temporary       = "pg_temp"
	stagedEvents    = "trackway_events"
	stagedCustomers = "trackway_customers"
	stagedIDs       = "trackway_ids"
)

// putStaged is put for a writer that needs the temporary table for events. That
// table has the columns of the table events, but no constraints.
func (w *writing) putStaged(ctx context.Context, rows []destination.Event, write writer) error {
	if !w.staged {
		_, err := w.conn.Exec(ctx, fmt.Sprintf("CREATE TEMPORARY TABLE %s ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA",
			stagedEvents, quoted(w.eventFields(), ""), w.in(events)))
		if err != nil {
			return err
		}
		w.staged = true
	}
	return w.put(ctx, rows, write)
}

// quoted returns a list of quoted names, each with the prefix.
func quoted(names []string, prefix string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = prefix + quote(n)
	}
	return strings.Join(list, ", ")
}

// stageEvents fills the temporary table with these events only.
func (w *writing) stageEvents(ctx context.Context, rows []destination.Event) error {
	if w.filled {
		if _, err := w.conn.Exec(ctx, "TRUNCATE pg_temp."+stagedEvents); err != nil {
			return err
		}
	}
	w.filled = true
	return w.copyEvents(ctx, pgx.Identifier{temporary, stagedEvents}, rows)
}

// add adds the events that are not there yet, and replaces those that are there
// in another form. After a rewind, an event may come as an erasure has left it,
// or with columns that were declared since.
func (w *writing) add(ctx context.Context, rows []destination.Event) error {
	if err := w.stageEvents(ctx, rows); err != nil {
		return err
	}
	fields := w.eventFields()
	list, excluded := quoted(fields, ""), quoted(fields, "excluded.")
	_, err := w.conn.Exec(ctx, fmt.Sprintf(`INSERT INTO %s AS e (%s) SELECT %s FROM pg_temp.%s ORDER BY seq
ON CONFLICT (seq) DO UPDATE SET (%s) = ROW (%s) WHERE (%s) IS DISTINCT FROM (%s)`,
		w.in(events), list, list, stagedEvents, list, excluded, quoted(fields, "e."), excluded))
	return err
}

// replace replaces existing events. It adds none: a missing event came before
// the start of this destination, was rejected, or was deleted by the operator.
func (w *writing) replace(ctx context.Context, rows []destination.Event) error {
	if err := w.stageEvents(ctx, rows); err != nil {
		return err
	}
	fields := w.eventFields()
	_, err := w.conn.Exec(ctx, fmt.Sprintf("UPDATE %s AS e SET (%s) = ROW (%s) FROM pg_temp.%s AS n WHERE e.seq = n.seq",
		w.in(events), quoted(fields, ""), quoted(fields, "n."), stagedEvents))
	return err
}
