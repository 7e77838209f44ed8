package canonjson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Kind is the kind of a JSON value. It is the first byte of the value's text,
// '0' for all numbers, and 0 if there is no value.
type Kind byte

// The kinds.
const (
	Object Kind = '{'
	Array  Kind = '['
	String Kind = '"'
	Number Kind = '0'
	True   Kind = 't'
	False  Kind = 'f'
	Null   Kind = 'n'
)

// String returns the kind with its article: "an object".
func (k Kind) String() string {
	switch k {
	case Object:
		return "an object"
	case Array:
		return "an array"
	case String:
		return "a string"
	case Number:
		return "a number"
	case True:
		return "true"
	case False:
		return "false"
	default:
		return "null"
	}
}

// Value is one JSON value of a scanned text. The zero value is absent.
type Value struct {
	Raw       []byte // its text, without space around it; a part of the scanned text
	Kind      Kind
	Canonical bool // Raw is in canonical form: see [AppendObject]

	plain bool // a string without escapes
}

// Absent reports whether there is no value. Null counts as no value.
func (v Value) Absent() bool { return v.Kind == 0 || v.Kind == Null }

// Text returns the content of a string. It is a part of the scanned text if the
// string has no escapes.
//
// REQUIRES: the kind is String.
func (v Value) Text() string { return text(v.Raw[1:len(v.Raw)-1], v.plain) }

// HasHalfPair reports whether a string contains an escape of half a surrogate
// pair. [Value.Text] reads such a half as U+FFFD.
//
// REQUIRES: the kind is String.
func (v Value) HasHalfPair() bool { return !v.plain && hasHalfPair(v.Raw) }

// Scanner reads a JSON text from front to back. It accepts only RFC 8259: valid
// UTF-8, no control characters in strings, numbers as in section 6, nothing
// after the value. One pass validates the text and finds the values.
//
// The first syntax error moves the scanner to the end of the text, so that
// every loop ends by itself. The caller checks [Scanner.Bad] after a loop, and
// before it uses a value's text.
type Scanner struct {
	b     []byte
	i     int
	depth int
	base  int  // the depth from which MaxDepth counts
	first bool // just after the opening bracket of an object or array
	bad   bool // there was a syntax error

	// fault is the bound that a value exceeds, the last one if there are
	// several. It does not stop the scanner, which reads on with the same
	// rules: only callers that keep the value check it. They clear it first.
	fault Fault

	// dirt counts deviations from canonical text: space, needless escapes,
	// members out of order. A value is canonical if the count is the same
	// before and after it.
	dirt int
}

// Scan returns a scanner at the beginning of a text.
func Scan(text []byte) Scanner { return Scanner{b: text} }

// Bad reports whether there was a syntax error.
func (s *Scanner) Bad() bool { return s.bad }

// Peek returns the kind of the next value, or 0 at the end of the text. It
// recognizes a number by its first byte, a minus sign or a digit.
func (s *Scanner) Peek() Kind { return Kind(s.peek()) }

// At returns how many bytes have been read.
func (s *Scanner) At() int { return s.i }

// Left returns how many bytes have not been read.
func (s *Scanner) Left() int { return len(s.b) - s.i }

// Kept reads a value that will be kept, and returns the bound that it exceeds,
// if any.
func (s *Scanner) Kept() (Value, Fault) {
	s.base, s.fault = s.depth, None
	v := s.Value()
	s.base = 0
	return v, s.fault
}

func (s *Scanner) syntax() { s.bad, s.i = true, len(s.b) }

// peek skips space and returns the next byte, or 0 at the end of the text. A 0
// is never valid there.
func (s *Scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	return s.peekBehindSpace()
}

func (s *Scanner) peekBehindSpace() byte {
	for ; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; c {
		case ' ', '\n', '\r', '\t':
			s.dirt++
		default:
			return c
		}
	}
	return 0
}

// End notes a syntax error unless only space is left.
func (s *Scanner) End() {
	if s.peek(); s.i < len(s.b) {
		s.syntax()
	}
}

// Value reads any value. It is meaningless after a syntax error.
func (s *Scanner) Value() Value {
	c := s.peek()
	start, dirt := s.i, s.dirt
	if c == '"' {
		plain := s.quoted()
		return Value{Raw: s.b[start:s.i:s.i], Kind: String, Canonical: s.dirt == dirt, plain: plain}
	}
	v := Value{Kind: Kind(c)}
	switch v.Kind {
	case Object, Array:
		switch {
		case s.depth-s.base >= MaxDepth:
			s.skipDeep()
		case v.Kind == Object:
			s.skipObject()
		default:
			for range s.Elements {
				s.Value()
			}
		}
	case True:
		s.literal("true")
	case False:
		s.literal("false")
	case Null:
		s.literal("null")
	default:
		v.Kind = Number
		s.number()
	}
	v.Raw, v.Canonical = s.b[start:s.i:s.i], s.dirt == dirt
	return v
}

// Members reads an object and calls yield after each member's name; yield reads
// the value. Any other value is a syntax error.
func (s *Scanner) Members(yield func(name string) bool) {
	s.open('{')
	for s.next('}') {
		raw, plain := s.name()
		if s.bad || !yield(text(raw, plain)) {
			return
		}
	}
}

// Elements reads an array and calls yield before each element with its index;
// yield reads the element.
func (s *Scanner) Elements(yield func(i int) bool) {
	s.open('[')
	for i := 0; s.next(']'); i++ {
		if !yield(i) {
			return
		}
	}
}

// skipObject reads an object and checks only the order and the number of its
// members. A name with escapes counts as out of order, which costs one needless
// rewrite.
func (s *Scanner) skipObject() {
	var last []byte
	s.open('{')
	for n := 0; s.next('}'); n++ {
		name, plain := s.name()
		if !plain || n > 0 && bytes.Compare(last, name) >= 0 {
			s.dirt++
		}
		last = name
		s.Value()
		if n == MaxMembers {
			s.fault = TooWide
		}
	}
}

// open enters an object or array.
func (s *Scanner) open(bracket byte) {
	if s.peek() != bracket {
		s.syntax()
		return
	}
	s.i++
	s.depth++
	s.first = true
}

// next moves to the next member or element and reports whether there is one. If
// there is no other, it leaves the object or array.
func (s *Scanner) next(bracket byte) bool {
	c := s.peek()
	first := s.first
	s.first = false
	switch {
	case c == bracket:
		s.i++
		s.depth--
		return false
	case first:
		return !s.bad
	case c == ',':
		s.i++
		return true
	default:
		s.syntax()
		return false
	}
}

// name reads a member's name and the colon after it. It returns the text
// between the quotes and whether the text is free of escapes.
func (s *Scanner) name() (raw []byte, plain bool) {
	if s.peek() != '"' {
		s.syntax()
		return nil, true
	}
	start := s.i + 1
	plain = s.quoted()
	raw = s.b[start:max(start, s.i-1)]
	if s.peek() != ':' {
		s.syntax()
		return nil, true
	}
	s.i++
	return raw, plain
}

// quoted reads a string, including both quotes, and reports whether it is free
// of escapes.
func (s *Scanner) quoted() (plain bool) {
	i := s.i + 1
	// the loop of plainEnd, without a call for each string
	for b := s.b[i:]; len(b) >= 8; b = b[8:] {
		if found := specialBytes(binary.LittleEndian.Uint64(b)); found != 0 {
			i += bits.TrailingZeros64(found) / 8
			break
		}
		i += 8
	}
	if i < len(s.b) && s.b[i] == '"' { // as nearly every string
		s.i = i + 1
		return true
	}
	return s.unusual(plainEnd(s.b, i))
}

// unusual reads the rest of a string from its first special byte on.
func (s *Scanner) unusual(i int) (plain bool) {
	plain = true
	for ; i < len(s.b); i = plainEnd(s.b, i) {
		n := 0 // bytes of this character; 0 if it is not allowed here
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return plain
		case c == '\\':
			plain = false
			n = s.escape(s.b[i:])
		case c >= utf8.RuneSelf:
			if r, size := utf8.DecodeRune(s.b[i:]); r != utf8.RuneError || size > 1 {
				n = size
			}
		}
		if n == 0 {
			break
		}
		i += n
	}
	s.syntax()
	return true
}

// plainEnd returns the place of the first byte of b[i:] that is special within
// a string: a quotation mark, a backslash, a control character, or not ASCII.
// It returns len(b) if there is no such byte. It checks eight bytes at a time.
func plainEnd(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if found := specialBytes(binary.LittleEndian.Uint64(b[i:])); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// specialBytes sets the top bit of the lowest special byte of w, and perhaps of
// higher ones. It uses the test for a byte below a bound of "Bit Twiddling
// Hacks". The borrow runs only upwards, so the lowest hit is correct. With
// bit 1 flipped, the quotation mark is next to the control characters: one test
// finds both. A byte that is not ASCII is found by its own top bit.
func specialBytes(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	low, backslash := w^ones*2, w^ones*'\\'
	return ((low - ones*0x21) | (backslash - ones) | w) & tops
}

// escape returns the length of the escape at the beginning of b, or 0 if it is
// not valid.
func (s *Scanner) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2
	case '/':
		s.dirt++
		return 2
	case 'u':
		s.dirt++
		_, n := escapedRune(b)
		return n
	default:
		return 0
	}
}

// number reads a number (RFC 8259, section 6).
func (s *Scanner) number() {
	start := s.i
	if s.at('-') {
		s.i++
	}
	if s.at('0') {
		s.i++
	} else {
		s.digits()
	}
	if s.at('.') {
		s.i++
		s.digits()
	}
	end := s.i
	if s.at('e') || s.at('E') {
		s.i++
		if s.at('+') || s.at('-') {
			s.i++
		}
		s.digits()
	}
	if end-start > MaxDigits || end < s.i {
		if f := faultOf(s.b[start:end], s.b[start:s.i]); f != None {
			s.fault = f
		}
	}
}

// digits reads one or more digits.
func (s *Scanner) digits() {
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		s.syntax()
	}
}

// at reports whether the next byte is c, without skipping space.
func (s *Scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

func (s *Scanner) literal(word string) {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		s.syntax()
		return
	}
	s.i += len(word)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
