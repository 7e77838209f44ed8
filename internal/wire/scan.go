package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"trackway"
)

// kind says what a JSON value is. It is the first byte of the value's text, with '0' for all numbers, and 0 for no value.
type kind byte

const (
	objectKind kind = '{'
	arrayKind  kind = '['
	stringKind kind = '"'
	numberKind kind = '0'
	trueKind   kind = 't'
	falseKind  kind = 'f'
	nullKind   kind = 'n'
)

func (k kind) String() string {
	switch k {
	case objectKind:
		return "an object"
	case arrayKind:
		return "an array"
	case stringKind:
		return "a string"
	case numberKind:
		return "a number"
	case trueKind:
		return "true"
	case falseKind:
		return "false"
	default:
		return "null"
	}
}

// value is one JSON value of a text that was scanned. The zero value is an absent one.
type value struct {
	raw       []byte // its text, without space around it; a part of what was scanned
	kind      kind
	plain     bool // a string without escapes
	canonical bool // raw is in canonical form (see AppendObject)
}

// absent reports whether there is no value, or null, which stands for none.
func (v value) absent() bool { return v.kind == 0 || v.kind == nullKind }

// text returns what the string v says. It is a part of the scanned text if the string has no escapes.
func (v value) text() string { return text(v.raw[1:len(v.raw)-1], v.plain) }

// scanner reads a JSON text from front to back, accepting RFC 8259 and nothing else: valid UTF-8, no
// control characters in strings, numbers as in section 6, nothing after the value. One pass validates and finds the values.
//
// The first fault is kept in err and moves the scanner to the end of the text, so that every loop ends by itself; who uses
// a scanner looks at err when a loop is over, and before using a value's text.
type scanner struct {
	b     []byte
	i     int
	depth int
	base  int  // the depth from which maxDepth counts
	first bool // just behind the opening bracket of an object or array
	err   *trackway.Error

	// fault is what a value that was read is beyond, the last one if there are several. It does not stop the scanner, which
	// reads on as strictly: it is for those that keep the value. They clear it first.
	fault fault

	// dirt counts what canonical text does not have: space, needless escapes, members out of order. A value is canonical if
	// the count is the same before and after it.
	dirt int
}

func (s *scanner) fail(msg string) {
	if s.err == nil {
		s.err = invalid("", msg)
	}
	s.i = len(s.b)
}

func (s *scanner) syntax() { s.fail("Invalid JSON") }

// peek skips space and returns the next byte, or 0 at the end of the text, where 0 fits nowhere.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	return s.peekBehindSpace()
}

func (s *scanner) peekBehindSpace() byte {
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

// end fails unless nothing but space is left.
func (s *scanner) end() {
	if s.peek(); s.i < len(s.b) {
		s.syntax()
	}
}

// value reads any value. It is meaningless once err is set.
func (s *scanner) value() value {
	c := s.peek()
	start, dirt := s.i, s.dirt
	v := value{kind: kind(c)}
	switch v.kind {
	case stringKind:
		v.plain = s.quoted()
	case objectKind, arrayKind:
		switch {
		case s.depth-s.base >= maxDepth:
			s.skipDeep()
		case v.kind == objectKind:
			s.skipObject()
		default:
			for range s.elements {
				s.value()
			}
		}
	case trueKind:
		s.literal("true")
	case falseKind:
		s.literal("false")
	case nullKind:
		s.literal("null")
	default:
		v.kind = numberKind
		s.number()
	}
	v.raw, v.canonical = s.b[start:s.i:s.i], s.dirt == dirt
	return v
}

// members reads an object, calling yield behind each member's name; yield reads the value. A text that has something else
// here is at fault.
func (s *scanner) members(yield func(name string) bool) {
	s.open('{')
	for s.next('}') {
		raw, plain := s.name()
		if s.err != nil || !yield(text(raw, plain)) {
			return
		}
	}
}

// elements reads an array, calling yield before each element with its index; yield reads the element.
func (s *scanner) elements(yield func(i int) bool) {
	s.open('[')
	for i := 0; s.next(']'); i++ {
		if !yield(i) {
			return
		}
	}
}

// skipObject reads an object and looks only at the order and the number of its members. A name with escapes counts as out of
// order, which costs a rewriting that changes nothing.
func (s *scanner) skipObject() {
	var last []byte
	s.open('{')
	for n := 0; s.next('}'); n++ {
		name, plain := s.name()
		if !plain || n > 0 && bytes.Compare(last, name) >= 0 {
			s.dirt++
		}
		last = name
		s.value()
		if n == maxMembers {
			s.fault = tooWide
		}
	}
}

// open enters an object or array.
func (s *scanner) open(bracket byte) {
	if s.peek() != bracket {
		s.syntax()
		return
	}
	s.i++
	s.depth++
	s.first = true
}

// next moves to the next member or element and reports whether there is one; if not, it leaves the object or array.
func (s *scanner) next(bracket byte) bool {
	c := s.peek()
	first := s.first
	s.first = false
	switch {
	case c == bracket:
		s.i++
		s.depth--
		return false
	case first:
		return s.err == nil
	case c == ',':
		s.i++
		return true
	default:
		s.syntax()
		return false
	}
}

// name reads a member's name with the colon behind it, and returns the text between the quotes and whether it is free of
// escapes.
func (s *scanner) name() (raw []byte, plain bool) {
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

// quoted reads a string from its opening quote to behind its closing one, and reports whether it is free of escapes.
func (s *scanner) quoted() (plain bool) {
	plain = true
	for i := plainEnd(s.b, s.i+1); i < len(s.b); i = plainEnd(s.b, i) {
		n := 0 // bytes of this character; 0 if it may not stand here
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

// plainEnd returns the place of the first byte of b[i:] that is special inside of a string: a quotation mark, a backslash, a
// control character, or not ASCII; len(b) if there is none. It looks at eight bytes at a time.
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

// specialBytes sets the top bit of the lowest byte of w that is special, and perhaps of higher ones. Each line is the usual
// test for a byte below a bound, as in "Bit Twiddling Hacks"; its borrow runs upwards only, so the lowest hit is true.
func specialBytes(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^ones*'"', w^ones*'\\'
	return ((w-ones*' ')&^w | (quote-ones)&^quote | (backslash-ones)&^backslash | w) & tops
}

// escape returns the length of the escape at the beginning of b, 0 if it is none.
func (s *scanner) escape(b []byte) int {
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
func (s *scanner) number() {
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
	if end-start > maxDigits || end < s.i {
		if f := faultOf(s.b[start:end], s.b[start:s.i]); f != noFault {
			s.fault = f
		}
	}
}

// digits reads one digit or more.
func (s *scanner) digits() {
	start := s.i
	for s.i < len(s.b) && isDigit(s.b[s.i]) {
		s.i++
	}
	if s.i == start {
		s.syntax()
	}
}

// at reports whether the next byte is c, without skipping space.
func (s *scanner) at(c byte) bool { return s.i < len(s.b) && s.b[s.i] == c }

func (s *scanner) literal(word string) {
	if !bytes.HasPrefix(s.b[s.i:], []byte(word)) {
		s.syntax()
		return
	}
	s.i += len(word)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
