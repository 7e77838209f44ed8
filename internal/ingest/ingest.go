// Package ingest takes commands in: it checks each against the rules of the domain and the project's configuration, hands the
// good ones to the store, and returns when they are durable. Its one idea is that a nil error and a result without one mean
// "on the disk". It knows neither HTTP nor how the store keeps things.
package ingest

import (
	"fmt"

	"trackway"
)

// Store keeps what commands say.
type Store interface {
	// Apply carries cmds out in order, as one step for all readers, and returns once the outcome is durable: after a nil error
	// it survives a power cut. results, as long as cmds, says what became of each; a refused one has changed nothing that its
	// error does not tell of. After an error nothing may be assumed: it may be stored and may come to be durable, or not.
	// Safe for concurrent use; cmds and results are the caller's again on return.
	Apply(cmds []trackway.Command, results []trackway.Result) error

	// Refused counts n commands of a project that were refused at the given time and do not come to Apply. A crash may forget
	// the last of them.
	Refused(project uint32, at trackway.Micros, n int) error
}

// Ingest accepts commands. Safe for concurrent use.
type Ingest struct {
	store   Store
	metrics *metrics
}

// Accept validates the commands of one request and stores the good ones, whatever becomes of the others. results, as long
// as cmds, says what became of each. Where a result comes with an error the command was refused already, and is only counted
// as such. cmds is changed (identifiers are classified, and good commands move to the front).
// An error is the server's own: the client should send the whole again, which does no harm where it was stored.
func (in *Ingest) Accept(p *trackway.Project, at trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	good := 0
	var left [][]trackway.Identifier // by result, nil as long as there is nothing
	for i := range cmds {
		if results[i].Err == nil {
			var out []trackway.Identifier
			if out, results[i].Err = Validate(p, &cmds[i]); out != nil {
				if left == nil {
					left = make([][]trackway.Identifier, len(cmds))
				}
				left[i] = out
			}
		}
		if results[i].Err == nil {
			cmds[i].Project = p.Number
			good++
		}
	}
	if err := in.apply(cmds, results, good); err != nil {
		in.metrics.failed.Add(float64(good))
		return err
	}
	in.metrics.count(results)
	for i := range min(len(left), len(results)) {
		results[i].LeftOut = left[i] // now that the store has written its results
		in.metrics.countLeftOut(p, left[i])
	}
	if bad := len(cmds) - good; bad > 0 && in.store.Refused(p.Number, at, bad) != nil {
		in.metrics.uncounted.Add(float64(bad)) // no error: the good ones are on the disk, and must not be sent again for this
	}
	return nil
}

// apply passes the good commands on as one slice and puts their results where they belong.
func (in *Ingest) apply(cmds []trackway.Command, results []trackway.Result, good int) error {
	switch good {
	case 0:
		return nil
	case len(cmds):
		return in.store.Apply(cmds, results)
	}
	places := make([]int, 0, good)
	for i := range results {
		if results[i].Err == nil {
			cmds[len(places)] = cmds[i]
			places = append(places, i)
		}
	}
	stored := make([]trackway.Result, good)
	if err := in.store.Apply(cmds[:good], stored); err != nil {
		return fmt.Errorf("store %d of %d commands: %w", good, len(cmds), err)
	}
	for i, place := range places {
		results[place] = stored[i]
	}
	return nil
}
