// Package trackway is the domain of a tracking server: what customers are and
// do (properties and events), who is who (identifiers), and what is asked of
// the server (commands). It holds the words that every other package speaks and
// imports the standard library only. It does not read requests
// (internal/format), decide whose identifiers these are (internal/identity), or
// keep anything (internal/store).
package trackway

import (
	"strconv"
	"time"
)

// Limits of the domain. They are part of the tracking API's contract: a value
// beyond one is refused with an error that names the field.
const (
	MaxCommands   = 50       // commands in one batch
	MaxIDBytes    = 256      // bytes of one identifier's value
	MaxTypeBytes  = 256      // bytes of an event's type
	MaxNameBytes  = 256      // bytes of a property's name
	MaxValueBytes = 16 << 10 // bytes of one customer's property's value, as JSON; an event's are bounded by the event
	MaxProperties = 255      // properties of one customer
	MaxSoftIDs    = 64       // soft identifiers of one name that a customer holds
	MaxEventBytes = 800_000  // bytes of one event's JSON (800 KB)
)

// Micros is a point in time: microseconds since the Unix epoch, UTC. The zero
// value is the epoch itself.
type Micros int64

// MicrosOf returns t, cut to the microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Bounds of a time that is accepted, the years 1970 to 2200.
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

// Customer numbers a customer within one store, in order of creation: the lower
// number is the older customer. Zero is no customer.
type Customer uint64

// Identifier is one name under which a customer is known, such as
// registered=jane@example.com. A hard identifier belongs to one person (a
// customer holds at most one value of it); a soft one to a device or browser
// (up to [MaxSoftIDs]).
type Identifier struct {
	Name  string
	Value string
	Hard  bool // set by validation, from the project's configuration
}

// Property is one named value of a customer or an event.
type Property struct {
	Name  string
	Value []byte // JSON in canonical form: no white space, members sorted and unique, numbers as they were written
}

// Kind says what a command asks for.
type Kind uint8

// The kinds of command.
const (
	// Nothing changes nothing. If the command has a project, it was refused
	// before it came to the store, which counts it. If not, it asks for the
	// time only, and the store passes over it.
	Nothing Kind = iota

	UpdateCustomer // set properties of a customer, creating it if it is unknown
	AddEvent       // add an event to a customer, creating it if it is unknown
)

// Command is one change that a client asks for. It is complete: applying it
// depends on nothing else, no clock and no configuration, so that the same
// commands in the same order always give the same store.
type Command struct {
	Kind       Kind
	Project    uint32       // the store's number of the project
	IDs        []Identifier // whom it is about; empty only if Anonymous
	Anonymous  bool         // if there are no IDs, a customer without identifiers is created
	Type       string       // of the event; empty for an update
	Time       Micros       // when the event happened, or since when the properties hold
	TimeGiven  bool         // the client chose Time (not as an age): only such events are checked for duplicates
	Received   Micros       // when this server received it
	Properties []Property   // sorted by name, names unique
	Bytes      int          // length of the type and the properties as they were sent: no less than what is kept of them

	// LeftOut are the identifiers that named nobody, as [Project.LeavesOut]
	// tells of them. They change nothing: they are told to people.
	LeftOut []Identifier
}

// Result is what became of one command.
type Result struct {
	Err       *Error   // nil: accepted
	Customer  Customer // whom it was about
	Seq       uint64   // the event's place in the log; 0 for an update and for a duplicate
	Duplicate bool     // the event was stored before; nothing was changed
}

// MergeType is the type of the event by which the server records that two
// customers became one.
const MergeType = "merge"

// Event is one thing that a customer did.
type Event struct {
	Seq        uint64 // place in the log
	Project    uint32
	Customer   Customer // whom it was recorded on; after a merge, possibly an absorbed customer
	Type       string
	Time       Micros // when it happened
	Received   Micros // when the server received it
	Properties []byte // a JSON object in canonical form
}

// Profile is a customer as readers see it.
type Profile struct {
	Customer   Customer
	Created    Micros
	IDs        []Identifier // hard ones first; soft ones the most recently used first
	Properties []DatedProperty
}

// DatedProperty is a property together with the time of its last update.
type DatedProperty struct {
	Property
	Updated Micros
}
