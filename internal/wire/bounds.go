package wire

import (
	"strconv"

	"trackway"
)

// Bounds on values, at every depth and the same in every way in. Scanning
// finds what is beyond them, before anything is collected or rewritten.
const (
	// maxDepth is how many objects and arrays of a property's value may lie
	// within each other. A scalar has no depth.
	maxDepth = 100

	// maxMembers is how many members one object may have: properties,
	// customer_ids, and any object in a property's value.
	maxMembers = 4096

	// maxDigits is how many digits a number may have, leading and trailing
	// zeros included. Python refuses integers beyond 4300.
	maxDigits = 64

	// maxExponent bounds the exponent of a number in both directions. Readers
	// with exact decimals write out as many digits. The smallest double is
	// 5e-324.
	maxExponent = 400
)

// Bounds on what a command holds besides values.
const (
	maxIDs            = 1024    // ids of one command, of all names together
	maxCommandIDBytes = 1 << 10 // bytes of command_id, which is answered as it was sent
)

// fault says which bound a value is beyond.
type fault uint8

const (
	noFault     fault = iota
	tooDeep           // more than maxDepth
	tooWide           // an object of more than maxMembers
	tooLong           // a number of more than maxDigits
	outOfDouble       // a number that no double can hold, or with an exponent beyond maxExponent
)

// of returns the error for a field whose value is beyond a bound.
func (f fault) of(field string) *trackway.Error {
	var expected string
	switch f {
	case tooDeep:
		expected = "at most " + strconv.Itoa(maxDepth) + " levels of arrays and objects"
	case tooWide:
		expected = "at most " + strconv.Itoa(maxMembers) + " members in an object"
	case tooLong:
		expected = "numbers of at most " + strconv.Itoa(maxDigits) + " digits"
	case outOfDouble:
		expected = "numbers below 1.8e308, with exponents of at least -" + strconv.Itoa(maxExponent)
	default:
		panic("bug: there is no fault")
	}
	return invalid(field, "Field '"+field+"': expected "+expected+".")
}
