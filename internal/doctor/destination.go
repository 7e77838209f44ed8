package doctor

import (
	"context"
	"time"

	"trackway/internal/destination"
	"trackway/internal/destination/listing"
)

// Destinations are the destinations of the running server.
type Destinations struct {
	// List returns those that are known, even with an error.
	List func(ctx context.Context) ([]listing.Row, error)

	// Check has a destination written to, read and cleaned up. The text says
	// what is wrong, or is empty.
	Check func(ctx context.Context, name string) (wrong string, err error)
}

const (
	checkPatience = 30 * time.Second // a destination may be far away
	muchLag       = 10 * time.Minute
)

// destinations checks that each destination works and is not far behind. The
// variables and files of their credentials are checked with the configuration.
func (x *examination) destinations(ctx context.Context) {
	if x.Destinations == nil || !x.up {
		return
	}
	const check = "destination"
	all, err := x.Destinations.List(ctx)
	switch {
	case err != nil && len(all) > 0:
		x.fail(check, "see trackway cluster status", "not all destinations are known: %v", err)
	case err != nil:
		x.fail(check, "run doctor as the user of the server", "the server cannot be asked for its destinations: %v", err)
	}
	for i := range all {
		x.destination(ctx, check, &all[i])
	}
}

func (x *examination) destination(ctx context.Context, check string, d *listing.Row) {
	behind := (time.Duration(d.LagSeconds) * time.Second).String()
	switch destination.State(d.State) {
	case destination.Stopped:
		x.fail(check, "do what it says, then: trackway destinations resume "+d.Name, "%s has stopped: %s", d.Name, d.Error)
		return
	case destination.Paused:
		x.warn(check, "when it may go on: trackway destinations resume "+d.Name+", or remove paused from the configuration and reload", "%s is paused, %s behind", d.Name, behind)
		return
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	wrong, err := x.Destinations.Check(ctx, d.Name)
	switch {
	case err != nil:
		x.fail(check, "see trackway destinations list, and the server's log", "%s was not checked: %v", d.Name, err)
	case wrong != "":
		x.fail(check, "do what it says, then: trackway destinations check "+d.Name+"; nothing is lost, and the server tries again by itself",
			"%s (%s) fails, %s behind: %s", d.Name, d.Kind, behind, wrong)
	case d.LetsGo:
		x.warn(check, "find out why it is so far behind, or set a longer hold",
			"%s is %s behind: events expire before it has them, %d so far", d.Name, behind, d.Missed)
	case d.LagSeconds > muchLag.Seconds():
		x.warn(check, "see trackway destinations list: its rate should be higher than that of new events", "%s is %s behind", d.Name, behind)
	default:
		x.ok(check, "%s (%s) works, %s behind", d.Name, d.Kind, behind)
	}
}
