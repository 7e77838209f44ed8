// Package change describes the changes that a store reports to its followers:
// numbered changes of customers, and their events.
package change

import (
	"math"

	"trackway"
)

// Kind is the kind of a [Change].
type Kind uint8

// The kinds. The numbers of all except the first and the last are on the disk:
// see docs/format.md. Of the kinds about a customer, a higher one includes the
// lower ones.
const (
	Stored    Kind = 0 // Event is new
	Changed   Kind = 1 // Customer was created or absorbed, or its identifiers or properties changed
	Rewritten Kind = 2 // also: an erasure removed something from the customer's events
	Erased    Kind = 3 // also: Customer no longer has identifiers and personal properties
	Expired   Kind = 4 // expired events of Project were removed
	Lost      Kind = 5 // the change with this number, if there was one, cannot be read
)

// Change is one of the numbered changes of a store. It names a customer without
// describing it. A follower reads the customer in its present state, which is
// at least as new as the change.
type Change struct {
	Number   uint64 // events and all other changes share one numbering
	Kind     Kind
	Project  uint32            // 0: unknown, because the change is lost
	Customer trackway.Customer // 0 if it concerns no customer; for an event, the one it was recorded for
	Event    *trackway.Event   // of [Stored]; otherwise nil
	Expired  Expiry            // of [Expired]
	Err      error             // of [Lost]: the reason
}

// Expiry sums up the expired events of a project that were removed.
type Expiry struct {
	Events  uint64 // how many, since the project began
	Highest uint64 // the highest of their numbers
}

// NoCursor is the position of a cursor that should be forgotten. It is after
// all changes.
const NoCursor uint64 = math.MaxUint64
