package query

import "trackway"

// Erasure is the erasure of one customer. From the moment it is requested, no
// answer contains the erased data. The bytes leave the store's files at the
// next clean-up.
type Erasure struct {
	ID    uint64          // numbered from 1 across all projects
	Asked trackway.Micros // when it was requested
	Done  trackway.Micros // when the last byte was gone; 0: not yet
}
