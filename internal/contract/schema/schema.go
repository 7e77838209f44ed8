// Package schema compiles JSON Schemas, and checks the properties of events by
// them. It knows a part of JSON Schema, draft 2020-12, that docs/contracts.md
// lists, and refuses the rest. So nothing in a schema is silently without
// effect.
//
// A check reads canonical JSON as it is, without decoding it. A valid event
// costs no heap memory. The work for an event grows with its size at most: see
// [Schema.Check].
package schema

import (
	"fmt"
	"regexp"

	"trackway/internal/canonjson"
)

// Bounds of a schema.
const (
	MaxBytes    = 64 << 10 // of its JSON
	maxDepth    = 16       // schemas within schemas
	maxNodes    = 1000     // schemas, after each $ref is replaced by what it refers to
	maxNames    = 5000     // names in required, counted in the same way
	maxEnum     = 200      // values of one enum
	maxPattern  = 512      // bytes of a regular expression
	maxProgram  = 1000     // instructions of a compiled one
	maxVariants = 20       // schemas in an allOf, anyOf or oneOf
)

// Schema is a compiled schema. It never changes, and is safe for concurrent
// use.
type Schema struct {
	root      *node
	demands   []Demand
	canonical []byte
}

// Demand is one thing that a schema demands. A schema has a fixed number of
// them, so broken ones can be counted without bounds for what clients send.
type Demand struct {
	Path    string // of the value, such as items[].price; empty: the properties as a whole
	Keyword string // of the schema, such as minimum
	What    string // what is expected, in words
}

// tooMuch is the first demand of each schema: an event must not take more work
// than its size permits.
const tooMuch = 0

// Demands returns what the schema demands. A [Fault] has an index of this list.
func (s *Schema) Demands() []Demand { return s.demands }

// Canonical returns the schema as JSON in canonical form.
func (s *Schema) Canonical() []byte { return s.canonical }

// Problem says what is wrong with a schema.
type Problem struct {
	Pointer string // the place in the schema, as a JSON pointer; empty: the schema as a whole
	Msg     string
}

// Error returns the place and what is wrong there.
func (p *Problem) Error() string {
	if p.Pointer == "" {
		return p.Msg
	}
	return p.Pointer + " " + p.Msg
}

func wrong(pointer, format string, args ...any) *Problem {
	return &Problem{pointer, fmt.Sprintf(format, args...)}
}

// kinds is a set of types of JSON values.
type kinds uint8

const (
	object kinds = 1 << iota
	array
	text
	number
	boolean
	null
	integer // numbers without a fraction
)

const anything = object | array | text | number | boolean | null

func kindOf(k canonjson.Kind) kinds {
	switch k {
	case canonjson.Object:
		return object
	case canonjson.Array:
		return array
	case canonjson.String:
		return text
	case canonjson.Number:
		return number
	case canonjson.True, canonjson.False:
		return boolean
	}
	return null
}

// node is a compiled schema or a part of one. Each part has a demand, which is
// its index in [Schema.demands]. none stands for a part that does not exist.
type node struct {
	kinds kinds // [anything] if there is no type
	typed int   // the demand of type, or of a schema that is false

	enum   [][]byte // canonical scalars; numbers are compared by value
	listed int

	lengths sizes // characters of a text
	pattern *regexp.Regexp
	program int // its instructions
	matches int
	format  func(string) bool
	formed  int

	bounds []bound // of numbers

	members []member // sorted by name
	amount  sizes    // of members
	others  *node    // for members that are not listed; nil: anything
	closed  int      // the demand of others, if it is false

	elements *node // nil: anything
	length   sizes // elements of an array

	all, any, one []*node
	not           *node
	anyOf, oneOf  int
	notOf         int
}

const none = -1

// sizes are bounds of a size. The zero value must be replaced by [unbounded].
type sizes struct {
	least, most     int // none: no bound
	tooFew, tooMany int // demands
}

var unbounded = sizes{none, none, none, none}

// broken returns the demand that a size breaks, or none.
func (s *sizes) broken(n int) int {
	switch {
	case n < s.least:
		return s.tooFew
	case s.most != none && n > s.most:
		return s.tooMany
	}
	return none
}

type bound struct {
	value  []byte // a JSON number
	upper  bool
	itself bool // the value itself is permitted
	demand int
}

// member is a property of an object that a schema names.
type member struct {
	name     string
	value    *node // nil: anything
	listed   bool  // in properties: others does not apply
	required int   // the demand, or none
}
