// Package entry describes one change of the store's state and encodes it.
//
// Every change is an entry, and an entry holds all that decides what it does. A
// machine that applies it reads no clock, no configuration and nothing random,
// so machines that apply the same entries in the same order come to the same
// state. The results of an entry are written into it, in place. Their fields
// are named as results and are not encoded.
//
// docs/format.md describes the encoding byte by byte.
package entry

import "trackway"

// Entry is a change of the store's state: [*Commands], [*Register], [*Refused],
// [*Rewrite], [*Erase], [*Forget], [*Settle], [*Expire], [*Cursor] or [*Once].
type Entry interface {
	Kind() Kind

	append(b []byte) []byte
	decode(r *reader)
}

// Kind says which entry it is, in the encoding too.
type Kind byte

// The kinds of entry. Zero is not a kind.
const (
	KindCommands Kind = iota + 1
	KindRegister
	KindRefused
	KindRewrite
	KindErase
	KindForget
	KindSettle
	KindExpire
	KindCursor
	KindOnce
)

// Durable reports whether an entry of this kind must be on the disk before its
// appender goes on. The others are steps that a crash may forget: what follows
// them waits, or they are made again.
func (k Kind) Durable() bool {
	return k == KindCommands || k == KindRegister || k == KindErase || k == KindOnce
}

// Commands are the commands of one or more requests, carried out in order.
type Commands struct {
	Requests []Request
}

// Request is the commands of one request. If a command has to wait, the others
// of its request wait with it; those of other requests do not.
type Request struct {
	Commands []trackway.Command

	// Contents holds what the machine stores for each command, prepared so that
	// the machine need not make it while others wait. If it is nil, the machine
	// makes it. Contents follows from the commands, and is not encoded. Its
	// memory belongs to the appender, and must not change until the entry is
	// applied.
	Contents []Content

	Results []trackway.Result // result: what became of each command; as long as Commands
	Done    int               // result: how many were carried out; the rest goes into another entry
	Crowded *Crowded          // result: what the next command waits for; nil: only for its turn
	Err     error             // result: the server's: none of it was stored; a machine leaves it alone
}

// Content is what an event says, as it is stored. It is zero for other
// commands.
type Content struct {
	Properties []byte // a JSON object in canonical form
	Hash       uint64 // the tail of its timeline key, if the event has a time that its sender chose
}

// Reached reports whether a machine came to the request. If it did not, other
// requests of the entry have kept it for long enough.
func (r *Request) Reached() bool { return r.Done > 0 || r.Crowded != nil }

// Crowded says that a command waits until a customer keeps fewer timelines: see
// [Settle].
type Crowded struct {
	Project  uint32
	Customer trackway.Customer
	Excess   int // how many timelines are too many
}

// Register gives numbers to projects that have none and notes which of their
// identifiers are hard: all of it or, if there is a conflict, nothing.
type Register struct {
	Projects []Registration
}

// Registration is a project as it is registered.
type Registration struct {
	Token      string
	Hard, Soft []string // names of identifiers

	Number   uint32 // result, unless there is a conflict
	Conflict string // result: an identifier that is of the other kind, here or in the state
}

// Refused counts commands that were refused before they came to the store.
type Refused struct {
	Project  uint32
	At       trackway.Micros
	Commands uint64
}

// Rewrite takes what an erasure erases out of some events.
type Rewrite struct {
	Project  uint32
	Customer trackway.Customer // who is erased
	Personal []string          // names of properties
	Events   []uint64          // sequence numbers, [MaxEvents] at most

	Places []Place // result: where the files may hold what was erased
}

// MaxEvents is how many events an entry rewrites or removes at most. It bounds
// how long others wait.
const MaxEvents = 128

// Place is where an event is or was: in the log and on a customer's timeline.
type Place struct {
	Seq      uint64
	Customer trackway.Customer
}

// Erase is the end of an erasure. It does what is left of it, if that is
// little, and takes the customer's identifiers and personal properties away.
type Erase struct {
	Project   uint32
	Customer  trackway.Customer
	Personal  []string // names of properties
	Asked     trackway.Micros
	IDs       []trackway.Identifier // those that were looked for
	Next      uint64                // the log was looked at up to, not including, this sequence number
	Continued bool                  // an entry before this one has forgotten former holders

	// The customers and places in files that may hold erased data.
	Customers []trackway.Customer
	Log       []Range

	Outcome Outcome               // result
	ID      uint64                // result: the erasure's number
	Erased  trackway.Customer     // result: who was erased
	Gone    []trackway.Identifier // result: all that led to them
}

// Range is sequence numbers, both ends included.
type Range struct{ From, To uint64 }

// Outcome is what became of the end of an erasure.
type Outcome byte

// The outcomes.
const (
	Done   Outcome = iota + 1 // the customer is erased
	Behind                    // the log has gone on too far: look at it from Next
	Former                    // there are still former holders to forget: append the entry again, Continued
	Stale                     // the customer was merged or got identifiers: look at all of it again
)

// Forget forgets who had identifiers and lost them.
type Forget struct {
	Holders []FormerHolder
}

// FormerHolder is a customer who had an identifier.
type FormerHolder struct {
	Project    uint32
	Identifier trackway.Identifier // Hard is not used
	Customer   trackway.Customer
}

// Settle moves entries from one timeline that a customer keeps to another, a
// few at a time.
type Settle struct {
	Project  uint32
	Customer trackway.Customer
	From, To trackway.Customer

	More bool // result: there are more to move
}

// Expire removes events that are too old.
type Expire struct {
	Events []uint64 // sequence numbers, [MaxEvents] at most

	Removed int // result: how many there were
}

// Cursor notes how far a reader of the changes has come.
type Cursor struct {
	Name   string
	Number uint64 // of the last change that it has read
}

// Kind implements [Entry].
func (*Commands) Kind() Kind { return KindCommands }

// Kind implements [Entry].
func (*Register) Kind() Kind { return KindRegister }

// Kind implements [Entry].
func (*Refused) Kind() Kind { return KindRefused }

// Kind implements [Entry].
func (*Rewrite) Kind() Kind { return KindRewrite }

// Kind implements [Entry].
func (*Erase) Kind() Kind { return KindErase }

// Kind implements [Entry].
func (*Forget) Kind() Kind { return KindForget }

// Kind implements [Entry].
func (*Settle) Kind() Kind { return KindSettle }

// Kind implements [Entry].
func (*Expire) Kind() Kind { return KindExpire }

// Kind implements [Entry].
func (*Cursor) Kind() Kind { return KindCursor }
