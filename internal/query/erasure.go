package query

import "trackway"

// Erasure is the erasure of one customer. From the moment it is requested, no
// answer contains the erased data. The store's files lose the data at the next
// clean-up, and each destination when it reaches the erasure.
type Erasure struct {
	ID       uint64            // numbered from 1 across all projects of a partition
	Customer trackway.Customer // 0: nobody was erased yet, because the erasure was interrupted, or the number is lost
	Asked    trackway.Micros   // when it was requested
	Done     trackway.Micros   // when the last byte was gone; 0: not yet

	WaitingFor  []string // names of the project's destinations that have not deleted it yet
	Undeletable []string // names of the project's destinations that cannot delete
}
