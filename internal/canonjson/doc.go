// Package canonjson reads JSON strictly and without copying, and writes it in
// canonical form: no white space, unique members sorted by the bytes of their
// names, strings with as few escapes as possible, numbers as they were sent.
// The store keeps properties in this form, so that equal properties are equal
// bytes.
//
// A small scanner validates a text against RFC 8259 and returns its values in
// one pass. Names, strings and values that already have canonical form are
// parts of the text itself. So a text must not be changed as long as anything
// is used that was read from it. Copy what must outlive it.
//
// Depth, members, digits and length of a value are bounded. Scanning checks the
// bounds before anything is collected or rewritten. So reading allocates at
// most a small factor of the text, for any content (package cost), and depth
// takes no stack.
//
// Half a surrogate pair becomes U+FFFD. Two texts that differ only in such
// halves become equal. This loses a distinction that no reader could have
// shown; refusing the texts would lose everything that came with them.
// Identifiers are the exception: see [Value.HasHalfPair].
//
// The package knows no field by name and reads no clock. All functions are pure
// and safe for concurrent use.
package canonjson
