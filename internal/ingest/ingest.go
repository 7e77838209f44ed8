// Package ingest takes commands in. It checks each against the rules of the
// domain and the project's configuration, hands the good ones to the store, and
// returns when they are durable: a nil error and a result without one mean "on
// the disk". It knows neither HTTP nor how the store keeps things.
package ingest

import "trackway"

// Store keeps what commands say.
type Store interface {
	// Apply carries cmds out in order, as one step for all readers, and returns
	// once the outcome is durable: after a nil error it survives a power cut.
	// It counts those of the kind [trackway.Nothing] that have a project as
	// refused, and leaves their results as they are. The other results say what
	// became of each; a refused one has changed nothing that its error does not
	// tell of. After an error nothing may be assumed: it may be stored and may
	// come to be durable, or not. Safe for concurrent use; cmds and results are
	// the caller's again on return.
	Apply(cmds []trackway.Command, results []trackway.Result) error

	// Refused counts n commands of a project that were refused at the given
	// time and do not come to Apply, since no good one came with them. A crash
	// may forget the last of them.
	Refused(project uint32, at trackway.Micros, n int) error
}

// Ingest accepts commands. Safe for concurrent use.
type Ingest struct {
	store   Store
	metrics *metrics
}

// Accept validates the commands of one request and stores the good ones,
// whatever becomes of the others. results, as long as cmds, says what became of
// each. If a result comes with an error, the command was refused already and is
// only counted as such; a command of the kind [trackway.Nothing] without one is
// passed over.
//
// Accept changes cmds: identifiers are classified, and what is refused becomes
// a command of that kind. An error is the server's own: the client should send
// the whole again, which does no harm if it was stored.
func (in *Ingest) Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	var good, bad int
	for i := range cmds {
		c, r := &cmds[i], &results[i]
		if c.Kind != trackway.Nothing && r.Err == nil {
			r.Err = Validate(p, c)
		}
		switch {
		case r.Err != nil:
			c.Kind, c.Project, c.Received = trackway.Nothing, p.Number, at
			bad++
		case c.Kind != trackway.Nothing:
			c.Project = p.Number
			good++
		}
	}
	switch {
	case good > 0:
		if err := in.store.Apply(cmds, results); err != nil {
			in.metrics.failed.Add(float64(good))
			return err
		}
	case bad > 0 && in.store.Refused(p.Number, at, bad) != nil:
		in.metrics.uncounted.Add(float64(bad)) // no error: there is nothing to send again
	}
	in.metrics.count(p, cmds, results)
	return nil
}
