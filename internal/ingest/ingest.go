// Package ingest accepts commands. It checks each command against the rules of
// the domain and the project's configuration, passes the good ones to the
// store, and returns when they are durable: a nil error and a result without
// one mean "on the disk". It knows neither HTTP nor how the store keeps data.
package ingest

import "trackway"

// Store stores the effects of commands.
type Store interface {
	// Apply carries out cmds in order, as one step for all readers, and returns
	// once the outcome is durable: after a nil error it survives a power cut.
	// Apply counts commands of the kind [trackway.Nothing] that have a project
	// as refused, and leaves their results unchanged. The other results report
	// the outcome of each command; a refused one has changed nothing beyond
	// what its error reports. After an error the outcome is unknown: it may be
	// stored now, or become durable later, or not. Apply is safe for concurrent
	// use. After a nil error, nothing refers to cmds or results any more, nor
	// to any text in them: they are parts of a request's body, whose memory
	// other requests get.
	Apply(cmds []trackway.Command, results []trackway.Result) error

	// Refused counts n commands of a project that were refused at the given
	// time and do not reach Apply, because no good command came with them. A
	// crash may forget the last of them.
	Refused(project uint32, at trackway.Micros, n int) error
}

// Contracts says what events of a type must look like.
type Contracts interface {
	// Check checks a valid command of a project. It returns the error for a
	// command that is refused. It may add a property to an event. It is safe
	// for concurrent use.
	Check(project uint32, c *trackway.Command) *trackway.Error
}

// Ingest accepts commands. It is safe for concurrent use.
type Ingest struct {
	store     Store
	contracts Contracts // nil: there is no contract
	metrics   *metrics
}

// Accept validates the commands of one request and stores the good ones,
// regardless of the others. results is as long as cmds and reports the outcome
// of each. If a result already has an error, Accept only counts the command as
// refused. It skips a command of the kind [trackway.Nothing] without an error.
//
// Accept changes cmds: it classifies identifiers, and turns a refused command
// into one of that kind. Equal types of adjacent commands then share their
// memory. An error is the server's own: the client should send the whole
// request again, which does no harm if it was stored.
func (in *Ingest) Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	var good, bad int
	var typ string // of the command before
	for i := range cmds {
		c, r := &cmds[i], &results[i]
		if c.Type == typ {
			c.Type = typ // the store compares them, which reads nothing if it is the same memory
		}
		typ = c.Type
		if c.Kind != trackway.Nothing && r.Err == nil {
			if r.Err = Validate(p, c); r.Err == nil && in.contracts != nil {
				r.Err = in.contracts.Check(p.Number, c)
			}
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
		in.metrics.uncounted.Add(float64(bad)) // no error: the client has nothing to resend
	}
	in.metrics.count(p, cmds, results)
	return nil
}
