package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"trackway/internal/destination"
	"trackway/internal/sleep"
)

const (
	mostKeys      = 5000 // in the list of one statement
	mutationPause = 200 * time.Millisecond
	mostMutations = 10 // for one removal
)

// rewrite replaces events that an erasure has changed, if the table has them.
// It inserts a higher version, and then removes the lower ones. Every query
// with FINAL sees exactly one of the two.
//
// A mutation removes them, and not OPTIMIZE … FINAL, because a mutation
// rewrites only the parts that have such rows, and does not need space for a
// whole partition. A lightweight DELETE would only hide the rows.
//
// An event that already has the version below, or a higher one, stays
// unchanged. A process that was replaced may still write a batch with an event
// as it was before an erasure. Such a batch has a lower number than the
// erasure, and the erasure's number is the version of the erased event.
func (w *write) rewrite(ctx context.Context, events []destination.Event, below uint64) error {
	for len(events) > 0 {
		n := min(len(events), mostKeys)
		if err := w.rewriteSome(ctx, events[:n], below); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

func (w *write) rewriteSome(ctx context.Context, events []destination.Event, below uint64) error {
	keys := make([]uint64, len(events))
	for i := range events {
		keys[i] = events[i].Seq
	}
	there, err := w.latest(ctx, keys)
	if err != nil {
		return err
	}
	versions := make(map[uint64]uint64, len(there))
	err = w.byMonth(ctx, events, func(e *destination.Event) (changed uint64, ok bool) {
		old, ok := there[e.Seq]
		versions[e.Seq] = old.changed
		if !ok || same(&old.event, e) || old.changed >= below && old.isOf(e) { // perhaps written by an earlier try
			return 0, false
		}
		changed = max(w.batch.Through, old.changed+1)
		versions[e.Seq] = changed
		return changed, true
	})
	if err != nil {
		return err
	}
	return w.purge(ctx, "events", "seq", keys, versions)
}

// version is the latest row of an event.
type version struct {
	event   destination.Event
	changed uint64
}

// isOf reports whether the row is a form of an event. It could also be another
// event with the same number, from a store that has been restored from a backup
// since.
func (v *version) isOf(e *destination.Event) bool {
	return v.event.Customer == e.Customer && v.event.Type == e.Type && v.event.At == e.At && v.event.Received == e.Received
}

// latest returns the latest rows of events.
func (w *write) latest(ctx context.Context, keys []uint64) (map[uint64]version, error) {
	there := make(map[uint64]version)
	err := w.client.rows(ctx, "read events", "SELECT "+eventFields+", changed FROM "+w.in("events")+" WHERE seq IN ("+list(keys)+
		") ORDER BY changed DESC LIMIT 1 BY seq FORMAT JSONCompactEachRow", long(plainNumbers()),
		func(line []byte) error {
			var v version
			if err := readEvent(line, &v.event, &v.changed); err != nil {
				return err
			}
			there[v.event.Seq] = v
			return nil
		})
	return there, err
}

// forget removes what the tables of customers still hold about the erased
// customers, and about those that they had absorbed: rows that newer rows have
// replaced.
func (w *write) forget(ctx context.Context) error {
	var erased []uint64
	for i := range w.batch.Customers {
		if c := &w.batch.Customers[i]; c.Erased {
			erased = append(erased, uint64(c.Customer))
		}
	}
	for len(erased) > 0 {
		n := min(len(erased), mostKeys)
		some := append([]uint64(nil), erased[:n]...)
		err := w.pairs(ctx, "SELECT DISTINCT customer, survivor FROM "+w.in("customer_map")+" WHERE survivor IN ("+list(some)+")",
			func(customer, _ uint64) { some = append(some, customer) })
		if err != nil {
			return err
		}
		latest := make(map[uint64]uint64)
		err = w.pairs(ctx, "SELECT customer, max(changed) FROM "+w.in("customers")+" WHERE customer IN ("+list(some)+") GROUP BY customer",
			func(customer, changed uint64) { latest[customer] = changed })
		if err != nil {
			return err
		}
		for _, table := range []string{"customers", "customer_ids"} {
			if err := w.purge(ctx, table, "customer", some, latest); err != nil {
				return err
			}
		}
		erased = erased[n:]
	}
	return nil
}

// purge removes the rows with these keys that have lower versions than the
// given ones.
func (s *Sink) purge(ctx context.Context, table, key string, keys []uint64, versions map[uint64]uint64) error {
	for len(keys) > 0 {
		n := min(len(keys), mostKeys)
		var stale []string
		err := s.pairs(ctx, "SELECT DISTINCT "+key+", changed FROM "+s.in(table)+" WHERE "+key+" IN ("+list(keys[:n])+")",
			func(k, changed uint64) {
				if changed < versions[k] {
					stale = append(stale, fmt.Sprintf("(%d,%d)", k, changed))
				}
			})
		if err != nil {
			return err
		}
		if len(stale) > 0 {
			if err := s.remove(ctx, table, "("+key+", changed) IN ("+strings.Join(stale, ",")+")"); err != nil {
				return err
			}
		}
		keys = keys[n:]
	}
	return nil
}

// remove removes the rows that meet a condition, and returns once they are
// gone. It first waits for running mutations, so that repeated calls do not
// pile up. ClickHouse deletes the files of a part that a mutation has replaced
// some minutes later (old_parts_lifetime).
func (s *Sink) remove(ctx context.Context, table, where string) error {
	for began := 0; ; {
		waiting, failing, err := s.mutations(ctx, table)
		if err != nil {
			return err
		}
		if waiting == 0 {
			n, err := s.count(ctx, table, where)
			if err != nil || n == 0 {
				return err
			}
			if began++; began > mostMutations {
				return fmt.Errorf("remove rows of %s: they do not go away", table)
			}
			err = s.client.exec(ctx, "remove rows of "+table, "ALTER TABLE "+s.in(table)+" DELETE WHERE "+where, long(settings{"mutations_sync": "0"}))
			if err != nil {
				return err
			}
			continue
		}
		if failing {
			return fmt.Errorf("remove rows of %s: a mutation fails: see system.mutations", table)
		}
		if err := sleep.For(ctx, mutationPause); err != nil {
			return err
		}
	}
}

// mutations returns how many mutations of a table are unfinished, and whether
// one of them has failed.
func (s *Sink) mutations(ctx context.Context, table string) (waiting uint64, failing bool, err error) {
	err = s.pairs(ctx, "SELECT count(), countIf(latest_fail_reason != '') FROM system.mutations WHERE database = "+literal(s.database)+
		" AND table = "+literal(table)+" AND NOT is_done", func(n, failed uint64) { waiting, failing = n, failed > 0 })
	return waiting, failing, err
}

// count returns how many rows meet a condition, including replaced rows.
func (s *Sink) count(ctx context.Context, table, where string) (n uint64, err error) {
	err = s.pairs(ctx, "SELECT count(), 0 FROM "+s.in(table)+" WHERE "+where, func(c, _ uint64) { n = c })
	return n, err
}

// pairs runs a query whose rows are two numbers.
func (s *Sink) pairs(ctx context.Context, query string, yield func(a, b uint64)) error {
	return s.client.rows(ctx, "read numbers", query, long(nil), func(line []byte) error {
		first, second, _ := strings.Cut(string(line), "\t")
		a, err := strconv.ParseUint(first, 10, 64)
		b, err2 := strconv.ParseUint(second, 10, 64)
		if errors.Join(err, err2) != nil {
			return errAnswer
		}
		yield(a, b)
		return nil
	})
}

// long allows a statement to be longer than the default of 256 KiB.
func long(set settings) settings {
	if set == nil {
		set = settings{}
	}
	set["max_query_size"] = "10000000"
	set["max_ast_elements"] = "1000000"
	set["max_expanded_ast_elements"] = "1000000"
	return set
}

// list returns numbers separated by commas.
func list[N ~uint64](numbers []N) string {
	b := make([]byte, 0, 8*len(numbers))
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(n), 10)
	}
	return string(b)
}
