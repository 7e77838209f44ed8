package query

import "trackway"

// Erasure is one customer's erasure. What was erased is in no answer any more from the moment it was asked for; the store's
// files lose the bytes when they are next cleaned up.
type Erasure struct {
	ID    uint64          // numbered from 1, over all projects
	Asked trackway.Micros // when it was asked for
	Done  trackway.Micros // when the last byte was gone; 0: not yet
}
