// Package traced records the parts of a call in which the server waits for
// others: for the log, and for the other servers of a cluster.
package traced

import (
	"context"

	"trackway"
	"trackway/internal/api/position"
	"trackway/internal/trace"
)

// Ingester stores commands.
type Ingester interface {
	Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error
}

// Ingest returns an ingester whose calls are recorded as parts of a span. If
// the span is nil, it returns the given one.
func Ingest(in Ingester, s *trace.Span) Ingester {
	if s == nil {
		return in
	}
	return ingester{in, s}
}

type ingester struct {
	Ingester

	span *trace.Span
}

// Accept implements [Ingester].
func (in ingester) Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	span := in.span.Child("store commands")
	err := in.Ingester.Accept(p, at, cmds, results)
	refused := 0
	for i := range results {
		if results[i].Err != nil {
			refused++
		}
	}
	span.Note(trace.Number("trackway.commands", len(cmds)))
	span.Note(trace.Number("trackway.commands.refused", refused))
	span.End(err != nil)
	return err
}

// Shared returns a log whose waits are recorded as parts of a span. If the span
// or the log is nil, it returns the given one.
func Shared(log position.Log, s *trace.Span) position.Log {
	if s == nil || log == nil {
		return log
	}
	return shared{log, s}
}

type shared struct {
	position.Log

	span *trace.Span
}

// Reach implements [position.Log].
func (l shared) Reach(ctx context.Context, at string, latest bool) error {
	span := l.span.Child("wait for the cluster")
	err := l.Log.Reach(ctx, at, latest)
	span.End(err != nil)
	return err
}
