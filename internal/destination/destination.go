// Package destination sends the changes of a store elsewhere: into databases,
// object stores, queues and files. Each destination has one goroutine, one
// cursor and one memory budget of its own, so a destination that is dead slows
// nobody. Nothing is dropped because of an outage: the cursor stays, and the
// destination catches up later.
//
// A kind of destination is a package below this one that implements [Sink]. It
// knows nothing about the store. The engine in this package reads the changes,
// makes batches of them, and repeats a batch until the sink has taken it.
package destination

import (
	"context"
	"math"
	"time"

	"trackway"
)

// Sink writes batches into a destination. The engine calls one method at a
// time. All methods stop when ctx ends. An error is temporary, so that the
// engine tries again with the same batch, unless it is a [*FinalError]. If a
// destination says how long to wait, the error is a [*BusyError].
//
// No error contains a credential or a property.
type Sink interface {
	// Prepare connects, and creates what is missing: tables, folders, topics.
	// It never alters what it did not create. It returns the position that the
	// destination itself has recorded, so that a crash between a write and the
	// engine's own cursor loses and doubles nothing. The engine calls it before
	// the first batch and after each error.
	Prepare(ctx context.Context) (Position, error)

	// Write takes a batch, all or nothing, and records its Through as the
	// position. If a batch, or a part of it, has been written before, the
	// result is as if it had been written once. But events that are there in
	// another form are replaced: after a rewind, they may come as an erasure
	// has left them. Write returns the rows that can never fit and were
	// therefore left out, also if the batch has been written before: its answer
	// may have been lost. The batch is valid, and unchanged, until Write has
	// taken it. After a restart, the changes after the position may come in
	// other batches and newer states.
	Write(ctx context.Context, b *Batch) ([]Reject, error)

	// Check writes a row (or object, or message) of its own, reads it back if
	// the destination can be read, and removes it.
	Check(ctx context.Context) error

	// Rewind records another position: the changes after it will be written
	// again, which must not double anything.
	Rewind(ctx context.Context, to Position) error

	// Close releases everything. It may be called at any time but during
	// another method, and more than once.
	Close() error
}

// Position says up to which change a destination has everything. The zero value
// says that the destination is empty: the engine then begins at the configured
// start, whatever it has sent before.
type Position struct {
	Store  string // the store's id
	Number uint64 // of the last change, or [Unkept]
}

// Unkept is the number of the position of a destination that cannot keep one,
// such as a webhook. The engine's own cursor counts then.
const Unkept uint64 = math.MaxUint64

// Batch is the changes with the numbers above After and up to Through, after
// filters, as rows. It has at least one row. Rows of one batch do not
// contradict each other: a customer is in it once, in its present state. After
// is the Through of the batch before it that moved the position.
//
// A batch with After = Through only has Rewritten events or Erasures, and moves
// nothing. Rewritten has no events from before the destination's start.
type Batch struct {
	Store          string // the store's id
	After, Through uint64
	Events         []Event    // new ones, by sequence number
	Customers      []Customer // created, changed, merged or erased, by Changed
	Rewritten      []Event    // up to After, in the form that an erasure has left; they replace what is there
	Erasures       []Erasure  // by id
	Bytes          int        // of properties and identifiers, about
}

// Rows returns the number of rows of the batch.
func (b *Batch) Rows() int {
	return len(b.Events) + len(b.Customers) + len(b.Rewritten) + len(b.Erasures)
}

// Event is a row of the table events.
type Event struct {
	Seq        uint64
	Project    string            // the project's name
	Customer   trackway.Customer // the one it was recorded for; customer_map leads to the survivor
	Type       string
	At         trackway.Micros
	Received   trackway.Micros
	Properties []byte // an object in canonical JSON

	// Holder is the customer who has the event now, as they are now: the
	// customer it was recorded for, or the survivor. It is nil unless the sink
	// is a [Joiner]. Several events share one.
	Holder *Customer
}

// Customer is a row of the tables customers or customer_map, and all rows of
// customer_ids of the customer: identifiers of the customer that an earlier
// change had and this one has not are removed.
//
// A survivor was not absorbed itself when the row was made. If it is absorbed
// later, it gets a row of its own, and the rows of those that it had absorbed
// are not passed again. So a survivor may have a survivor. A sink that can
// update redirects the rows of customer_map that lead to the absorbed customer;
// the views of the others follow the chain. Survivors have lower numbers, so a
// chain ends.
type Customer struct {
	Customer   trackway.Customer
	Project    string            // the project's name
	Survivor   trackway.Customer // not 0: it absorbed the customer, which has no identifiers and properties any more
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
	Done     trackway.Micros // 0: not done in the store yet; a later row of the same erasure says when
}

// Reject is a row that can never fit into a destination.
type Reject struct {
	Number uint64 `json:"number"` // of the event or change
	Table  string `json:"table"`  // events, customers, customer_ids, customer_map or erasures
	Reason string `json:"reason"` // without values
}

// FinalError is an error that no repetition cures: the destination stops until
// an operator acts. Examples: another process has taken over; the table is not
// ours.
type FinalError struct{ Err error }

func (e *FinalError) Error() string { return e.Err.Error() }

func (e *FinalError) Unwrap() error { return e.Err }

// BusyError is an error of a destination that asks to be left alone for a
// while.
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
	// but not including, high, in the order of sequence numbers, until yield
	// returns false. A doubled event is passed twice. Properties are canonical
	// JSON; Project may be empty. The event is valid only during the call.
	Events(ctx context.Context, low, high uint64, yield func(*Event) bool) error

	// Mend makes the destination have exactly these events in the range from
	// low up to, but not including, high: missing ones are added, doubled and
	// foreign ones removed, others replaced. events is in order.
	Mend(ctx context.Context, low, high uint64, events []Event) error
}

// Joiner is a sink that cannot look up the customer of an event, so that events
// come with their [Event.Holder]. It costs one look-up for each customer of a
// batch.
type Joiner interface {
	JoinsHolders()
}

// Misfit says how many values of a property did not fit into its column and
// were replaced with NULL.
type Misfit struct {
	Type     string // of the event
	Property string
	Values   uint64
}

// MisfitCounter is a sink with typed columns. Misfits is safe for concurrent
// use; it counts since the sink was made.
type MisfitCounter interface {
	Misfits() []Misfit
}

// Keeper is a sink of a destination that cannot delete what an erasure has
// taken away. Erasures do not wait for it, and the list of erasures names it.
type Keeper interface {
	KeepsErased()
}

// Describer is a sink with tables that an operator may want to create
// themselves.
type Describer interface {
	DDL() string // the statements, with comments, ready to be run
}
