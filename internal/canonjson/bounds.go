package canonjson

// Bounds on values, at every depth and the same for every entry point. Scanning
// finds violations before anything is collected or rewritten.
const (
	// MaxDepth is how many objects and arrays of a value may be nested. A
	// scalar has no depth.
	MaxDepth = 100

	// MaxMembers is how many members one object may have.
	MaxMembers = 4096

	// MaxDigits is how many digits a number may have, including leading and
	// trailing zeros. Python refuses integers beyond 4300.
	MaxDigits = 64

	// MaxExponent bounds the exponent of a number in both directions. Readers
	// with exact decimals write out as many digits. The smallest double is
	// 5e-324.
	MaxExponent = 400
)

// Fault is a bound that a value exceeds.
type Fault uint8

// The faults.
const (
	None        Fault = iota
	TooDeep           // more than MaxDepth
	TooWide           // an object within the value has more than MaxMembers
	TooLong           // a number of more than MaxDigits
	OutOfDouble       // a number beyond a double, or with an exponent beyond MaxExponent

	// Faults of the object that a [Decoder] reads.

	NotObject // it is another kind of value
	TooMany   // it has more than MaxMembers
	TooLarge  // it has more than trackway.MaxEventBytes
)

// Problem describes a fault of the object that a [Decoder] reads. The zero
// value is no problem.
type Problem struct {
	Fault Fault
	Name  string // of the faulty member; empty for the object itself
	Kind  Kind   // of the value that is not an object
	Bytes int    // of an object that is too large
}
