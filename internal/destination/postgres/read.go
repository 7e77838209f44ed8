package postgres

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
)

// page is how many events are read by one query.
const page = 10_000

// Events implements [destination.Reader]. jsonb keeps numbers by value, so a
// number in the properties may have another spelling than in the log: 1000 for
// 1e3. [canonjson.AppendNormal] makes both comparable.
//
// Each page is read in a transaction. Otherwise a pooler may send the question
// and its description to different sessions.
func (s *Sink) Events(ctx context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	high = min(high, math.MaxInt64)
	for more := true; more && low < high; {
		var n int
		err := s.transaction(ctx, "read events", func(ctx context.Context) error {
			return s.readPage(ctx, low, high, func(e *destination.Event) bool {
				n++
				low = e.Seq + 1
				more = yield(e)
				return more
			})
		})
		if err != nil {
			return err
		}
		more = more && n == page
	}
	return nil
}

// readPage passes the first page of the events in a range to yield.
func (s *Sink) readPage(ctx context.Context, low, high uint64, yield func(*destination.Event) bool) error {
	rows, err := s.conn.Query(ctx, fmt.Sprintf(`SELECT seq, project, customer, type, at, received_at, properties::text FROM %s
WHERE seq >= $1 AND seq < $2 ORDER BY seq LIMIT %d`, s.in(events), page), low, high)
	if err != nil {
		return err
	}
	defer rows.Close()
	var e destination.Event
	var at, received time.Time
	var properties pgtype.DriverBytes
	for rows.Next() {
		if err := rows.Scan(&e.Seq, &e.Project, (*uint64)(&e.Customer), &e.Type, &at, &received, &properties); err != nil {
			return err
		}
		e.At, e.Received = trackway.MicrosOf(at), trackway.MicrosOf(received)
		e.Properties = canonjson.AppendCanonical(e.Properties[:0], properties)
		if !yield(&e) {
			break
		}
	}
	rows.Close() // before Err, which says whether the connection broke
	return rows.Err()
}

// Mend implements [destination.Reader]. It leaves out events that can never
// fit, as Write did.
func (s *Sink) Mend(ctx context.Context, low, high uint64, want []destination.Event) error {
	high = min(high, math.MaxInt64)
	return s.transaction(ctx, "mend a range of events", func(ctx context.Context) error {
		if _, err := s.recorded(ctx); err != nil {
			return err
		}
		if _, err := s.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE seq >= $1 AND seq < $2", s.in(events)), low, high); err != nil {
			return err
		}
		w := &writing{Sink: s, batch: &destination.Batch{Events: want}}
		return w.events(ctx)
	})
}
