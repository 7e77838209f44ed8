// Package canonjson reads JSON strictly and without copying, and writes it in
// canonical form: no white space, members sorted by the bytes of their names
// and unique, strings with as few escapes as possible, numbers as they were
// sent. The store keeps properties in this form, so that equal ones are equal
// bytes.
//
// A small scanner checks RFC 8259 to the letter while values are taken from a
// text. Names, strings and values are parts of the text itself wherever they
// already have canonical form. So a text must not be changed once it was read,
// and lives as long as anything that was read from it; copy what outlives it.
//
// Depth, members, digits and length of a value are bounded. Scanning checks the
// bounds before anything is collected or rewritten, so that reading allocates a
// small factor of the text, whatever it holds (package cost), and depth takes
// no stack.
//
// Half a surrogate pair becomes U+FFFD. Two texts that differ in nothing else
// become one, which costs at most a distinction that no reader could have
// shown; to refuse them would cost what came with them. Identifiers are the
// exception: see [Value.HasHalfPair].
//
// The package knows no field by name and reads no clock. All functions are pure
// and safe for concurrent use.
package canonjson
