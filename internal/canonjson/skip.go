package canonjson

// skipDeep reads an object or array of any depth and notes that it is too deep.
// It is as strict as Value, but does not recurse. So depth costs one bit of
// memory per level, and no stack.
func (s *Scanner) skipDeep() {
	s.fault = TooDeep
	s.dirt++ // whether it is canonical is unknown
	var open brackets
	for !s.bad {
		switch Kind(s.peek()) {
		case Object:
			open.push(true)
			if s.i++; s.peek() != '}' {
				s.name()
				continue
			}
			s.i++
			open.pop()
		case Array:
			open.push(false)
			if s.i++; s.peek() != ']' {
				continue
			}
			s.i++
			open.pop()
		default:
			s.Value() // a scalar
		}
		if s.behind(&open) {
			return
		}
	}
}

// behind moves from the end of a value to the next one. It reports whether all
// brackets are closed, so that no value follows.
func (s *Scanner) behind(open *brackets) (end bool) {
	for open.n > 0 && !s.bad {
		inObject := open.last()
		switch c := s.peek(); {
		case c == ',' && inObject:
			s.i++
			s.name()
			return false
		case c == ',':
			s.i++
			return false
		case c == '}' && inObject, c == ']' && !inObject:
			s.i++
			open.pop()
		default:
			s.syntax()
		}
	}
	return true
}

// brackets is a stack of open brackets, one bit each. The zero value is empty.
type brackets struct {
	bits []uint64
	n    int
}

const wordBits = 64

func (b *brackets) push(object bool) {
	if b.n == wordBits*len(b.bits) {
		b.bits = append(b.bits, 0)
	}
	word, bit := &b.bits[b.n/wordBits], uint64(1)<<(b.n%wordBits)
	if *word &^= bit; object {
		*word |= bit
	}
	b.n++
}

func (b *brackets) pop() { b.n-- }

// last reports whether the innermost bracket is an object's.
func (b *brackets) last() bool {
	return b.bits[(b.n-1)/wordBits]>>((b.n-1)%wordBits)&1 == 1
}
