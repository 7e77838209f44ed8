// Package change says what a store tells those who follow it: the numbered
// changes of customers, and their events.
package change

import (
	"math"

	"trackway"
)

// Kind says what a [Change] tells.
type Kind uint8

// The kinds. The numbers of all but the first and the last are on the disk:
// docs/format.md. Of the kinds about a customer, a higher one says all that a
// lower one does.
const (
	Stored    Kind = 0 // Event is new
	Changed   Kind = 1 // Customer was created, absorbed, or has other identifiers or properties
	Rewritten Kind = 2 // also: an erasure took something out of events that Customer has
	Erased    Kind = 3 // also: Customer has no identifiers and no personal properties any more
	Expired   Kind = 4 // events of Project are gone because they were too old
	Lost      Kind = 5 // the change of this number, if there was one, cannot be read
)

// Change is one of the numbered changes of a store. It names a customer and does
// not describe it: whoever wants to know looks at the customer as it is now, and
// finds at least what the change was about.
type Change struct {
	Number   uint64 // events and all other changes have one numbering
	Kind     Kind
	Project  uint32            // 0: not known, the change is lost
	Customer trackway.Customer // 0 if it is about no customer; of an event, whom it was recorded on
	Event    *trackway.Event   // of [Stored]; else nil
	Expired  Expiry            // of [Expired]
	Err      error             // of [Lost]: why
}

// Expiry sums up which events of a project are gone because they were too old.
type Expiry struct {
	Events  uint64 // how many, since the project began
	Highest uint64 // the highest of their numbers
}

// NoCursor is where a cursor stands that is to be forgotten: behind all changes.
const NoCursor uint64 = math.MaxUint64
