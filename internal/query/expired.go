package query

import "trackway"

// Expired is the result of a search for expired events.
type Expired struct {
	Removed int             // number of removed events
	Soonest trackway.Micros // time until the next remaining event expires; [Never] if none does
	End     bool            // more events may still come into this part of the log: examine it again
}

// Never is longer than any time that events are kept for.
const Never trackway.Micros = 1<<63 - 1

// Forever is a bound that no event is older than.
const Forever trackway.Micros = -1 << 63
