// Package export writes a project's customers and events as a file that can be
// taken elsewhere. It writes a snapshot row by row, so that all rows show the
// same moment and memory does not grow with their number. It writes to any
// io.Writer and makes no files itself.
package export

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/query"
)

// Filter chooses what is written. Since and Until bound the time at which
// events happened: from Since on, and before Until. Zero means no bound.
// Customers are not affected.
type Filter struct {
	Customers, Events bool
	Types             []string // of events; empty: all
	Since, Until      trackway.Micros
}

func (f *Filter) admits(e *trackway.Event) bool {
	return e.Time >= f.Since && (f.Until == 0 || e.Time < f.Until) && (len(f.Types) == 0 || slices.Contains(f.Types, e.Type))
}

// Table is a file that is being written. A customer and an event are valid only
// during the call. Close completes the file, but does not close the writer
// below it.
type Table interface {
	Customer(c *trackway.Profile) error
	Event(of *trackway.Profile, e *trackway.Event) error // of is the customer that the event belongs to now
	Close() error
}

// The formats.
const (
	NDJSON  = "ndjson"
	CSV     = "csv"
	Parquet = "parquet"
)

// New returns a table in the given format for the data that f chooses from a
// project. Customers and events have different columns, so only NDJSON accepts
// both.
func New(format string, w io.Writer, p *trackway.Project, f Filter) (Table, error) {
	if !f.Customers && !f.Events {
		return nil, refuse("customers", "Expected customers, events or both.")
	}
	if f.Customers && f.Events && format != NDJSON {
		return nil, refuse("format", "A file of format '"+format+"' holds either customers or events: export them one after the other.")
	}
	switch format {
	case NDJSON:
		return &lines{w: w}, nil
	case CSV:
		return newSheet(w, p, f.Customers)
	case Parquet:
		return newColumns(w, p, f.Customers), nil
	}
	return nil, ask.Invalid("format", "ndjson, csv or parquet")
}

func refuse(field, msg string) error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: msg}
}

// LostError means that an export is complete except for events that cannot be
// read because the store is damaged.
type LostError struct {
	Events int
	First  uint64 // the sequence number of the first of them
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%d events cannot be read, the first of them event %d, because the store is damaged; all others were exported", e.Events, e.First)
}

// Run writes the data that f chooses from a project to t, customers before
// events, and completes t. It completes t even if it returns a [LostError].
func Run(ctx context.Context, s query.Snapshot, p *trackway.Project, f Filter, t Table) error {
	if f.Customers {
		if err := each(ctx, s, p, t.Customer); err != nil {
			return fmt.Errorf("export customers: %w", err)
		}
	}
	var lost LostError
	if f.Events {
		if err := f.events(ctx, s, p, t, &lost); err != nil {
			return fmt.Errorf("export events: %w", err)
		}
	}
	if err := t.Close(); err != nil || lost.Events == 0 {
		return err
	}
	return &lost
}

// each calls do for the customers of a project, the oldest first.
func each(ctx context.Context, s query.Snapshot, p *trackway.Project, do func(*trackway.Profile) error) error {
	var failed error
	err := query.Profiles(ctx, s, p.Number, func(c *trackway.Profile) bool {
		failed = do(c)
		return failed == nil
	})
	if failed != nil {
		return failed
	}
	return err
}

// events writes events in the order of the log, in which they were received. It
// reads one event at a time.
func (f *Filter) events(ctx context.Context, s query.Snapshot, p *trackway.Project, t Table, lost *LostError) error {
	o := owners{from: s, project: p.Number, known: map[trackway.Customer]*trackway.Profile{}}
	var failed error
	missing := func(seq uint64, _ error) { // the store has said why
		if lost.Events++; lost.Events == 1 {
			lost.First = seq
		}
	}
	err := s.Log(query.LogRange{Lost: missing, Project: p.Number}, func(e *trackway.Event) bool {
		if e.Project != p.Number || !f.admits(e) {
			return ctx.Err() == nil
		}
		var of *trackway.Profile
		if of, failed = o.of(e.Customer); failed == nil {
			failed = t.Event(of, e)
		}
		return failed == nil && ctx.Err() == nil
	})
	return cmp.Or(failed, err, context.Cause(ctx))
}

// maxOwners is how many customers are remembered, because neighboring events
// often belong to the same customers.
const maxOwners = 1 << 16

// owners finds the customer that an event belongs to now.
type owners struct {
	from         query.Snapshot
	project      uint32
	known, older map[trackway.Customer]*trackway.Profile // keyed by the customer of the event; without properties
}

// of returns the present customer behind c, after merges.
func (o *owners) of(c trackway.Customer) (*trackway.Profile, error) {
	if p := o.known[c]; p != nil {
		return p, nil
	}
	p := o.older[c]
	if p == nil {
		now, err := o.from.Survivor(o.project, c)
		if err != nil {
			return nil, err
		}
		if p, err = o.from.Profile(o.project, now); err != nil {
			return nil, err
		}
		p.Properties = nil
	}
	if len(o.known) >= maxOwners {
		o.known, o.older = map[trackway.Customer]*trackway.Profile{}, o.known
	}
	o.known[c] = p
	return p, nil
}
