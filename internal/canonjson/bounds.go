package canonjson

// Bounds on values, at every depth and the same in every way in. Scanning finds
// what exceeds them, before anything is collected or rewritten.
const (
	// MaxDepth is how many objects and arrays of a value may lie within each
	// other. A scalar has no depth.
	MaxDepth = 100

	// MaxMembers is how many members one object may have.
	MaxMembers = 4096

	// MaxDigits is how many digits a number may have, leading and trailing
	// zeros included. Python refuses integers beyond 4300.
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
	TooWide           // an object of more than MaxMembers within the value
	TooLong           // a number of more than MaxDigits
	OutOfDouble       // a number that no double can hold, or with an exponent beyond MaxExponent

	// Of the object that a [Decoder] reads.

	NotObject // it is another kind of value
	TooMany   // it has more than MaxMembers
	TooLarge  // it has more than trackway.MaxEventBytes
)

// Problem says what is wrong with the object that a [Decoder] reads. The zero
// value is no problem.
type Problem struct {
	Fault Fault
	Name  string // of the member at fault; empty if it is the object itself
	Kind  Kind   // of what stands there instead of an object
	Bytes int    // of an object that is too large
}
