// Package destination sends the changes of a store elsewhere: to databases,
// object stores, queues and files. Each destination has its own goroutine,
// cursor and memory budget, so a dead destination slows nobody. An outage loses
// nothing: the cursor stays where it is, and the destination catches up later.
//
// A kind of destination is a package below this one that implements [Sink]. It
// knows nothing about the store. The engine in this package reads the changes,
// makes batches of them, and repeats a batch until the sink has accepted it.
package destination

import (
	"context"
	"math"
	"time"

	"trackway"
	"trackway/internal/destination/kept"
)

// Sink writes batches into a destination. The engine calls one method at a
// time. All methods stop when ctx ends. A [*FinalError] stops the destination.
// A [*BusyError] says how long the destination asks to wait. Any other error is
// temporary, and the engine tries again with the same batch.
//
// No error contains a credential or a property.
type Sink interface {
	// Prepare connects, and creates what is missing: tables, folders, topics.
	// It never alters what it did not create. It returns the position that the
	// destination itself has recorded. So nothing is lost or doubled if a crash
	// comes after a write, but before the engine has moved its own cursor. The
	// engine calls Prepare before the first batch and after each error.
	Prepare(ctx context.Context) (Position, error)

	// Write writes a batch, all or nothing, and records its Through as the
	// position. If all or part of a batch has been written before, the result
	// is as if it had been written once. But an event that the destination has
	// in another form is replaced: after a rewind, an event may come as an
	// erasure has left it. Write returns the rows that it left out because they
	// can never fit. It returns them again if the batch was written before,
	// because the first answer may have been lost. The batch stays valid and
	// unchanged until Write has accepted it. After a restart, the changes after
	// the position may come in other batches and newer states.
	Write(ctx context.Context, b *Batch) ([]Reject, error)

	// Check writes a row (or object, or message) of its own, reads it back if
	// the destination can be read, and removes it.
	Check(ctx context.Context) error

	// Rewind records another position. The changes after it will be written
	// again, which must not double anything.
	Rewind(ctx context.Context, to Position) error

	// Close releases all resources. It may be called more than once, and at any
	// time except during another method.
	Close() error
}

// Position says up to which change a destination has everything. The zero value
// means that the destination is empty. The engine then begins at the configured
// start, whatever it has sent before.
type Position struct {
	Store  string // the store's id
	Number uint64 // of the last change, or [Unkept]
}

// Unkept is the number in the position of a destination that cannot keep one,
// such as a webhook. The engine then uses its own cursor.
const Unkept uint64 = math.MaxUint64

// Batch holds the changes with numbers above After and up to Through, as rows,
// after filters. It has at least one row. Rows of one batch do not contradict
// each other: a customer is in it once, in its present state. After is the
// Through of the last batch that moved the position.
//
// A batch with After = Through has only Rewritten events or Erasures, and does
// not move the position. Rewritten has no events from before the destination's
// start.
type Batch struct {
	Store          string // the store's id
	After, Through uint64
	Events         []Event    // new ones, by sequence number
	Customers      []Customer // created, changed, merged or erased, by Changed
	Rewritten      []Event    // events up to After as an erasure has left them; they replace the stored ones
	Erasures       []Erasure  // by id
	Bytes          int        // approximate size of properties and identifiers
}

// Rows returns the number of rows of the batch.
func (b *Batch) Rows() int {
	return len(b.Events) + len(b.Customers) + len(b.Rewritten) + len(b.Erasures)
}

// Event is a row of the table events.
type Event struct {
	Seq        uint64
	Project    string            // the project's name
	Customer   trackway.Customer // the customer for whom it was recorded; customer_map leads to the survivor
	Type       string
	At         trackway.Micros
	Received   trackway.Micros
	Properties []byte // an object in canonical JSON

	// Holder is the customer who has the event now, in its present state: the
	// customer for whom it was recorded, or the survivor. It is nil unless the
	// sink is a [Joiner]. Several events may share one Holder.
	Holder *Customer
}

// Customer is a row of the tables customers or customer_map, together with all
// rows of customer_ids of the customer. The sink removes identifiers that the
// customer had after an earlier change and does not have here.
//
// A survivor had not been absorbed itself when the row was made. If it is
// absorbed later, it gets a row of its own, but the rows of customers that it
// had absorbed do not come again. So a survivor may have a survivor. A sink
// that can update rows redirects the rows of customer_map that lead to the
// absorbed customer. The views of other sinks follow the chain. Survivors have
// lower numbers, so a chain ends.
type Customer struct {
	Customer   trackway.Customer
	Project    string            // the project's name
	Survivor   trackway.Customer // not 0: it was absorbed, and has no identifiers or properties any more
	IDs        []trackway.Identifier
	Properties []byte // an object in canonical JSON
	Created    trackway.Micros
	Changed    uint64 // the number of the change
	Erased     bool
}

// Erasure is a row of the table erasures.
type Erasure struct {
	ID       uint64
	Project  string // the project's name
	Customer trackway.Customer
	Asked    trackway.Micros
	Done     trackway.Micros // 0: not done in the store yet; a later row of the same erasure has the time
}

// Reject is a row that can never fit into a destination.
type Reject = kept.Reject

// FinalError is an error that repetition cannot cure: the destination stops
// until an operator acts. For example, another process has taken over, or
// Trackway did not create the table.
type FinalError struct {
	Err error

	// Taken says that another process has taken over. Among servers that take
	// turns, the one whose turn it is takes the destination back.
	Taken bool
}

func (e *FinalError) Error() string { return e.Err.Error() }

func (e *FinalError) Unwrap() error { return e.Err }

// BusyError is the error of a destination that asks for a pause.
type BusyError struct {
	Err   error
	After time.Duration
}

func (e *BusyError) Error() string { return e.Err.Error() }

func (e *BusyError) Unwrap() error { return e.Err }

// Reader is a sink whose events can be read back. `trackway destinations
// verify` needs it.
type Reader interface {
	// Events calls yield for the events with sequence numbers from low up to,
	// but not including, high, in their order, until yield returns false. It
	// passes a doubled event twice. Properties are canonical JSON; Project may
	// be empty. The event is valid only during the call.
	Events(ctx context.Context, low, high uint64, yield func(*Event) bool) error

	// Mend makes the destination hold exactly these events in the range from
	// low up to, but not including, high. It adds missing events, removes
	// doubled and foreign ones, and replaces those that differ. events is in
	// order.
	Mend(ctx context.Context, low, high uint64, events []Event) error
}

// Joiner is a sink that cannot look up the customer of an event, so its events
// come with their [Event.Holder]. This costs one look-up for each customer of a
// batch.
type Joiner interface {
	JoinsHolders()
}

// Misfit says how many values of a property did not fit into their column and
// were replaced with NULL.
type Misfit struct {
	Type     string // of the event
	Property string
	Values   uint64
}

// MisfitCounter is a sink with typed columns. Misfits is safe for concurrent
// use, and counts since the sink was created.
type MisfitCounter interface {
	Misfits() []Misfit
}

// Keeper is a sink of a destination that cannot delete what an erasure removes.
// Erasures do not wait for it, and the list of erasures names it.
type Keeper interface {
	KeepsErased()
}

// Describer is a sink with tables that operators may want to create themselves.
type Describer interface {
	DDL() string // the statements, with comments, ready to be run
}
