package change

import "trackway"

// Copy is a destination: a copy of the log that is kept elsewhere.
type Copy struct {
	Name    string
	Through uint64 // it has all changes up to this number
	Deletes bool   // it can delete what an erasure has taken away

	// Cursor is the name under which the store keeps how far the copy is. No
	// event expires before the cursor has passed it, unless the event was
	// received before Bound. Without a cursor the copy holds nothing back.
	Cursor string
	Bound  trackway.Micros
}

// Copies are all destinations of a store. It is safe for concurrent use.
type Copies interface {
	// List returns the destinations in the order of their names.
	List() []Copy

	// Missed notes that some events expired before a destination had them.
	Missed(name string, events int)
}
