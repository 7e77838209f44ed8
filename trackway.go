// Package trackway is the domain of a tracking server: what customers are and
// do (properties and events), which identifiers belong to which customer, and
// what clients ask of the server (commands). It holds the types that all other
// packages share, and imports the standard library only. It does not parse
// requests (internal/format), resolve identifiers (internal/identity), or store
// anything (internal/store).
package trackway

import (
	"strconv"
	"time"
)

// Limits of the domain. They are part of the tracking API's contract: the
// server refuses a value beyond a limit with an error that names the field.
const (
	MaxCommands   = 50       // commands in one batch
	MaxIDBytes    = 256      // bytes of one identifier's value
	MaxTypeBytes  = 256      // bytes of an event's type
	MaxNameBytes  = 256      // bytes of a property's name
	MaxValueBytes = 16 << 10 // bytes of one property's value of a customer, as JSON (events: MaxEventBytes)
	MaxProperties = 255      // properties of one customer
	MaxSoftIDs    = 64       // soft identifiers of one name that a customer can have
	MaxEventBytes = 800_000  // bytes of one event's JSON (800 KB)
)

// Micros is a point in time: microseconds since the Unix epoch, UTC. The zero
// value is the epoch itself.
type Micros int64

// MicrosOf returns t, truncated to the microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// The range of accepted times, the years 1970 to 2200.
const (
	MinTime Micros = 0                         // 1970-01-01T00:00:00Z
	MaxTime Micros = 7_289_654_400_000_000 - 1 // the last before 2201-01-01T00:00:00Z
)

// Time returns m as a time.Time in UTC.
func (m Micros) Time() time.Time { return time.UnixMicro(int64(m)).UTC() }

// AppendSeconds appends m as the wire format writes times: a JSON number of
// Unix seconds with up to six decimals, exact ("1533495544.343536", "1000").
func (m Micros) AppendSeconds(b []byte) []byte {
	v := int64(m)
	if v < 0 {
		b, v = append(b, '-'), -v
	}
	b = strconv.AppendInt(b, v/1e6, 10)
	frac := v % 1e6
	if frac == 0 {
		return b
	}
	b = append(b, '.')
	for unit := int64(1e5); frac > 0; unit /= 10 {
		b = append(b, byte('0'+frac/unit))
		frac %= unit
	}
	return b
}

// Customer is the number of a customer in one store. Numbers follow the order
// of creation: the lower number is the older customer. Zero is not a customer.
type Customer uint64

// Identifier is one name of a customer, such as registered=jane@example.com. A
// hard identifier belongs to one person, and a customer has at most one value
// of it. A soft one belongs to a device or browser, and a customer has up to
// [MaxSoftIDs] of them.
type Identifier struct {
	Name  string
	Value string
	Hard  bool // set by validation, from the project's configuration
}

// Property is one named value of a customer or an event.
type Property struct {
	Name  string
	Value []byte // JSON in canonical form: no white space, members sorted and unique, numbers as they were sent
}

// Kind is the kind of a command.
type Kind uint8

// The kinds of command.
const (
	// Nothing changes nothing. With a project, it is a command that was refused
	// before it reached the store, and the store counts it. Without a project,
	// it only asks for the time, and the store skips it.
	Nothing Kind = iota

	UpdateCustomer // set properties of a customer; create an unknown customer
	AddEvent       // add an event to a customer; create an unknown customer
)

// Command is one change that a client asks for. It is complete: applying it
// depends on nothing else, neither a clock nor the configuration. So the same
// commands in the same order always give the same store.
type Command struct {
	Kind       Kind
	Project    uint32       // the store's number of the project
	IDs        []Identifier // who it is about; empty only if Anonymous
	Anonymous  bool         // if there are no IDs, create a customer without identifiers
	Type       string       // of the event; empty for an update
	Time       Micros       // when the event happened, or as of when the properties hold
	TimeGiven  bool         // the client sent Time, not an age: only such events are checked for duplicates
	TimeVaries bool         // the client may send the event again with another Time: see Claimed
	Received   Micros       // when this server received it

	// If TimeVaries, the content of the event stays the same in each try, and
	// has the property [MessageID]. So the store recognizes the event, whatever
	// its Time is. Claimed is the time that the client's clock gave it, if
	// TimeGiven. It stays the same, too.
	Claimed Micros

	// Unheld is an identifier that only the customer of IDs may have. If
	// another customer has it, the command is refused. Nil: there is no such
	// identifier.
	Unheld *Identifier

	Properties []Property // sorted by name; names are unique
	Bytes      int        // length of the type and the properties as sent, at least that of what is stored

	// LeftOut are the identifiers that [Project.LeavesOut] ignored. They change
	// nothing; reports show them to people.
	LeftOut []Identifier
}

// Result is the outcome of one command.
type Result struct {
	Err       *Error   // nil if the command was accepted
	Customer  Customer // who it was about
	Seq       uint64   // the event's position in the log; 0 for an update and for a duplicate
	Duplicate bool     // the event was stored before, and nothing changed
}

// MessageID is the property of an event that holds the id of the message that
// it came with, in formats whose messages have one. It is part of the event's
// content: two equal events with different ids are two, and a message that is
// sent again is one.
const MessageID = "message_id"

// Quarantined is the property of an event that marks it as one that broke the
// contract of its type. Its value is a text that says which demand it broke. It
// is not a part of the event's content: an event is the same with it and
// without it.
const Quarantined = "$quarantined"

// MergeType is the type of the events that record that two customers were
// merged.
const MergeType = "merge"

// Event is one thing that a customer did.
type Event struct {
	Seq        uint64 // position in the log
	Project    uint32
	Customer   Customer // who it was recorded for; after a merge, this may be an absorbed customer
	Type       string
	Time       Micros // when it happened
	Received   Micros // when the server received it
	Properties []byte // a JSON object in canonical form
}

// Profile is a customer as readers of the API see it.
type Profile struct {
	Customer   Customer
	Created    Micros
	IDs        []Identifier // hard ones first, then soft ones from the most to the least recently used
	Properties []DatedProperty
}

// DatedProperty is a property with the time of its last update.
type DatedProperty struct {
	Property
	Updated Micros
}
