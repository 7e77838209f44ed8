package query

import "trackway"

// Expired tells of a look for events that are too old.
type Expired struct {
	Removed int             // events that were
	Soonest trackway.Micros // in how long the next of those that stay is too old, too; [Never] where none ever is
	End     bool            // the log may go on within what was looked at: look again
}

// Never is longer than any time in microseconds that events are kept for.
const Never trackway.Micros = 1<<63 - 1

// Forever is a bound that no event is older than.
const Forever trackway.Micros = -1 << 63
