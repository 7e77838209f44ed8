package wire

import (
	"slices"

	"trackway"
)

// AppendObject appends the properties, sorted by name and unique, as a JSON object in canonical form: no white space,
// members sorted by the bytes of their names at every depth and unique, strings escaped as by [AppendString], numbers as
// they were sent. Two objects in canonical form are the same bytes if and only if they hold the same, except that numbers
// are compared by their spelling: 1 and 1.0 differ.
func AppendObject(dst []byte, properties []trackway.Property) []byte {
	dst = append(dst, '{')
	for i := range properties {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, properties[i].Name)
		dst = append(dst, ':')
		dst = append(dst, properties[i].Value...)
	}
	return append(dst, '}')
}

// SplitObject is the inverse of [AppendObject]: the members of an object in canonical form, in order. Names and values are
// parts of obj, which must not be changed afterwards; no bytes at all are an empty object. Anything but an object is a bug
// of ours.
func SplitObject(obj []byte) []trackway.Property {
	if len(obj) == 0 {
		return nil
	}
	var properties []trackway.Property
	s := scanner{b: obj}
	for name := range s.members {
		properties = append(properties, trackway.Property{Name: name, Value: s.value().raw})
	}
	if s.end(); s.err != nil {
		panic("bug: SplitObject of something that is not an object")
	}
	return properties
}

// appendCanonical appends valid JSON in canonical form, which is never longer. It is a second pass, for the values that
// need it.
func appendCanonical(dst, raw []byte) []byte {
	s := scanner{b: raw}
	return s.appendCanonical(dst)
}

func (s *scanner) appendCanonical(dst []byte) []byte {
	switch kind(s.peek()) {
	case objectKind:
		var members []trackway.Property
		for name := range s.members {
			members = append(members, trackway.Property{Name: name, Value: s.canonical()})
		}
		return AppendObject(dst, appendSorted(nil, members))
	case arrayKind:
		dst = append(dst, '[')
		for i := range s.elements {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = s.appendCanonical(dst)
		}
		return append(dst, ']')
	default:
		return append(dst, s.canonical()...)
	}
}

// canonical returns the next value in canonical form: a part of the text if it is a scalar that has it already.
func (s *scanner) canonical() []byte {
	if c := kind(s.peek()); c == objectKind || c == arrayKind {
		return s.appendCanonical(nil)
	}
	v := s.value()
	if v.canonical {
		return v.raw
	}
	return appendCanonicalString(nil, v.raw[1:len(v.raw)-1])
}

// appendSorted appends members sorted by name, the last of those with the same name only. A client that sorts already pays
// for a look.
//
// What is sorted are small entries without pointers: moving the members themselves, and telling the garbage collector each
// time, took a third of the time of decoding an event.
func appendSorted(dst, members []trackway.Property) []trackway.Property {
	if isSorted(members) {
		return append(dst, members...)
	}
	var room [usualMembers]entry
	order := appendOrder(room[:0], members)
	for i := range order {
		m := members[order[i].index]
		if i+1 < len(order) && members[order[i+1].index].Name == m.Name {
			continue
		}
		dst = append(dst, m)
	}
	return dst
}

// usualMembers is how many members an object may have to be sorted by insertion, and without allocating.
const usualMembers = 16

// entry stands for a member while members are sorted.
type entry struct {
	prefix uint64 // of its name
	index  int    // among the members
}

// before reports whether e comes before o, another entry: by name, then by index. Most names differ in their first bytes.
func (e entry) before(o entry, members []trackway.Property) bool {
	return e.prefix < o.prefix || e.prefix == o.prefix && e.beforeInFull(o, members)
}

func (e entry) beforeInFull(o entry, members []trackway.Property) bool {
	a, b := members[e.index].Name, members[o.index].Name
	return a < b || a == b && e.index < o.index
}

// appendOrder appends an entry for each member, sorted.
func appendOrder(order []entry, members []trackway.Property) []entry {
	for i := range members {
		order = append(order, entry{prefix(members[i].Name), i})
	}
	if len(order) > usualMembers {
		slices.SortFunc(order, func(a, b entry) int {
			if a.before(b, members) {
				return -1
			}
			return 1 // never equal: indexes differ
		})
		return order
	}
	for i := 1; i < len(order); i++ { // slices.SortFunc does the same, but compares through a pointer
		e, at := order[i], i
		for ; at > 0 && e.before(order[at-1], members); at-- {
			order[at] = order[at-1]
		}
		order[at] = e
	}
	return order
}

// isSorted reports whether names ascend, each once.
func isSorted(members []trackway.Property) bool {
	for i := 1; i < len(members); i++ {
		if members[i-1].Name >= members[i].Name {
			return false
		}
	}
	return true
}

// prefix returns the first eight bytes of a name as a number that sorts like them, filled up with zeros.
func prefix(name string) (p uint64) {
	if len(name) >= 8 {
		return uint64(name[7]) | uint64(name[6])<<8 | uint64(name[5])<<16 | uint64(name[4])<<24 |
			uint64(name[3])<<32 | uint64(name[2])<<40 | uint64(name[1])<<48 | uint64(name[0])<<56
	}
	for i := range len(name) {
		p |= uint64(name[i]) << (56 - 8*i)
	}
	return p
}
