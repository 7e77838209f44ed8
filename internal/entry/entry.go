// Package entry describes one change of the store's state and encodes it.
//
// Every change is an entry, and an entry holds everything that decides its
// effect. A machine that applies it reads no clock, no configuration and
// nothing random. So machines that apply the same entries in the same order
// reach the same state. A machine writes the results of an entry into the entry
// itself. The comments call these fields results; they are not encoded.
//
// docs/format.md describes the encoding byte by byte.
package entry

import (
	"fmt"

	"trackway"
)

// Entry is a change of the store's state: [*Commands], [*Register], [*Refused],
// [*Rewrite], [*Erase], [*Forget], [*Settle], [*Expire], [*Cursor], [*Once],
// [*Notes], [*Digest], [*Assign] or [*HashKey].
type Entry interface {
	Kind() Kind

	append(b []byte) []byte
	decode(r *reader)
}

// Kind is the kind of an entry. The encoding uses these numbers.
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
	KindNotes
	KindDigest
	KindAssign
	KindHashKey
)

// Durable reports whether an entry of this kind must be on the disk before its
// appender continues. A crash may forget entries of the other kinds: either
// what follows them waits for the disk, or they are created again.
func (k Kind) Durable() bool {
	return k == KindCommands || k == KindRegister || k == KindErase || k == KindOnce || k == KindNotes || k == KindAssign
}

// Commands are the commands of one or more requests, carried out in order.
type Commands struct {
	Requests []Request

	// Carries says that the encoding has the contents instead of the
	// properties, where there are contents. Then no machine has to compute them
	// again. Older programs cannot read that.
	Carries bool
}

// Request holds the commands of one request. If a command has to wait, the rest
// of its request waits with it; commands of other requests do not.
type Request struct {
	Commands []trackway.Command

	// Contents holds what the machine stores for each command. It is prepared
	// in advance, so that the machine need not do that while others wait. If
	// Contents is nil, the machine computes it. It follows from the commands.
	// Its memory belongs to the appender, and must not change until the entry
	// is applied.
	Contents []Content
	Keyed    bool // the hashes of Contents are under the key of the state: see [HashKey]

	Results []trackway.Result // result: the outcome of each command; as long as Commands
	Done    int               // result: how many commands were carried out; the rest goes into another entry
	Crowded *Crowded          // result: what the next command waits for; nil: only for its turn
	Err     error             // result: set by the server, not by a machine: none of it was stored
}

// Content is the content of an event, as it is stored. It is zero for other
// commands.
type Content struct {
	Record     []byte // the end of its record in the log: type and properties
	Properties []byte // a part of Record: a JSON object in canonical form
	Hash       uint64 // the tail of its timeline key, if the sender chose the event's time

	// IDs are the fingerprints of the command's identifiers, under a secret of
	// the appender's store. The encoding leaves them out: if IDs is nil, the
	// machine computes them.
	IDs [][2]uint64
}

// Reached reports whether a machine reached the request. If it did not, other
// requests of the entry took too long.
func (r *Request) Reached() bool { return r.Done > 0 || r.Crowded != nil }

// Crowded says that a command waits until a customer has fewer timelines: see
// [Settle].
type Crowded struct {
	Project  uint32
	Customer trackway.Customer
	Excess   int // the number of timelines that is too many
}

// Register gives numbers to projects that have none, and notes which of their
// identifiers are hard. If there is a conflict, it does nothing.
type Register struct {
	Projects []Registration
}

// Registration describes a project to register.
type Registration struct {
	Token      string
	Hard, Soft []string // names of identifiers

	Number   uint32 // result, unless there is a conflict
	Conflict string // result: an identifier that is of the other kind, here or in the state
}

// Err returns why a project of some name cannot be registered. REQUIRES: there
// is a conflict.
func (r *Registration) Err(project string) error {
	return fmt.Errorf("project %q: identifier %q: a hard one cannot become soft, nor a soft one hard: use a new name", project, r.Conflict)
}

// Refused counts commands that were refused before they reached the store.
type Refused struct {
	Project  uint32
	At       trackway.Micros
	Commands uint64
}

// Rewrite removes the erased data from some events.
type Rewrite struct {
	Project  uint32
	Customer trackway.Customer // who is erased
	Personal []string          // names of properties
	Events   []uint64          // sequence numbers, at most [MaxEvents]

	Places []Place // result: where files may still hold the erased data
}

// MaxEvents is the maximum number of events that an entry rewrites or removes.
// It bounds how long other entries wait.
const MaxEvents = 128

// Place is where an event is or was: in the log and on a customer's timeline.
type Place struct {
	Seq      uint64
	Customer trackway.Customer
}

// Erase is the end of an erasure. If little is left to do, it does that, and
// removes the customer's identifiers and personal properties.
type Erase struct {
	Project   uint32
	Customer  trackway.Customer
	Personal  []string // names of properties
	Asked     trackway.Micros
	IDs       []trackway.Identifier // those that were looked for
	Next      uint64                // the log was searched up to, but not including, this sequence number
	Continued bool                  // an earlier entry has forgotten former holders

	// The customers, and the places in files, that may hold erased data.
	Customers []trackway.Customer
	Log       []Range

	Outcome outcome               // result
	ID      uint64                // result: the erasure's number
	Erased  trackway.Customer     // result: who was erased
	Gone    []trackway.Identifier // result: all that led to them
}

// Range is a range of sequence numbers, both ends included.
type Range struct{ From, To uint64 }

// outcome is the outcome of the end of an erasure.
type outcome byte

// The outcomes.
const (
	Done   outcome = iota + 1 // the customer is erased
	Behind                    // the log has grown too much since: search it from Next
	Former                    // there are still former holders to forget: append the entry again, with Continued set
	Stale                     // the customer was merged or got identifiers: search everything again
)

// Forget forgets which customers had identifiers and lost them.
type Forget struct {
	Holders []FormerHolder
}

// FormerHolder is a customer who had an identifier.
type FormerHolder struct {
	Project    uint32
	Identifier trackway.Identifier // Hard is not used
	Customer   trackway.Customer
}

// Settle moves entries from one of a customer's timelines to another, a few at
// a time.
type Settle struct {
	Project  uint32
	Customer trackway.Customer
	From, To trackway.Customer

	More bool // result: there are more to move
}

// Expire removes events that are too old.
type Expire struct {
	Events []uint64 // sequence numbers, at most [MaxEvents]

	Removed int // result: how many there were
}

// Cursor notes how far a reader of the changes has come.
type Cursor struct {
	Name   string
	Number uint64 // of the last change that it has read
}

// Digest has each machine sum up its state, so that servers can compare theirs.
// It changes nothing.
type Digest struct {
	// The part of the state that is read begins where that of the digest with
	// this index ended; 0: it begins with the first key.
	After uint64
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

// Kind implements [Entry].
func (*Digest) Kind() Kind { return KindDigest }
