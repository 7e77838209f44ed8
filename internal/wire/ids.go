package wire

import (
	"bytes"
	"iter"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"trackway"
)

// idsField is the field that says whom a command or a request is about.
const idsField = "customer_ids"

// identifiers reads the value of "customer_ids": an object of strings, numbers,
// and arrays of these. They come sorted by name, those of an array in its order,
// and trimmed. Null and an empty array are an id with an empty value, so that
// its name is checked like any other.
func (d *decoder) identifiers() ([]trackway.Identifier, *trackway.Error) {
	var room [usualMembers]member
	members, err := d.collect(idsField, room[:0])
	if err != nil || d.err != nil {
		return nil, err
	}
	var entries [usualMembers]entry
	order := d.inOrder(entries[:0], members)
	d.makeRoomForIDs(members)
	start := len(d.ids)
	d.firstID = start
	for i := range order {
		m := &members[order[i].index]
		if err := d.identifier(m.name, d.b[m.start:m.end]); err != nil {
			return nil, err
		}
	}
	return slices.Clip(d.ids[start:]), nil
}

// makeRoomForIDs makes room for all ids that the members hold, so that adding
// them moves none. It guesses that the commands behind this one are alike.
func (d *decoder) makeRoomForIDs(members []member) {
	const bytesPerCommand, usualIDs = 512, 4
	n := 0
	for i := range members {
		n++
		if m := &members[i]; d.b[m.start] == '[' {
			s := scanner{b: d.b[m.start:m.end]}
			for range s.elements {
				s.value()
				n++
			}
		}
	}
	if n = min(n, maxIDs); n > cap(d.ids)-len(d.ids) {
		if n <= usualIDs {
			n += n * min((len(d.b)-d.i)/bytesPerCommand, trackway.MaxCommands)
		}
		d.ids = make([]trackway.Identifier, 0, n)
	}
}

// identifier adds the ids that one member of "customer_ids" holds.
func (d *decoder) identifier(name string, raw []byte) *trackway.Error {
	s := scanner{b: raw}
	if kind(s.peek()) != arrayKind {
		return d.addID(name, s.value(), "a string, a number or an array of these")
	}
	before := len(d.ids)
	for range s.elements {
		if err := d.addID(name, s.value(), "strings or numbers in the array"); err != nil {
			return err
		}
	}
	if len(d.ids) == before {
		return d.addID(name, value{}, "")
	}
	return nil
}

func (d *decoder) addID(name string, v value, expected string) *trackway.Error {
	if len(d.ids)-d.firstID == maxIDs {
		return invalid(idsField, "Field '"+idsField+"': at most "+strconv.Itoa(maxIDs)+" ids.")
	}
	id := trackway.Identifier{Name: name}
	switch {
	case v.absent():
	case v.kind == stringKind:
		if !v.plain && hasHalfPair(v.raw) {
			return invalid(idField(name), "Field '"+idField(name)+"': expected text, got half a surrogate pair (\\ud800 to \\udfff).")
		}
		id.Value = v.text()
		id = id.Trimmed()
	case v.kind == numberKind:
		var ok bool
		if id.Value, ok = plainDecimal(v.raw, maxDigits); !ok {
			return tooLong.of(idField(name))
		}
	default:
		return unexpected(idField(name), expected, v.kind)
	}
	d.ids = append(d.ids, id)
	return nil
}

// hasHalfPair reports whether a valid string has an escape of half a surrogate
// pair in it. Elsewhere such a half becomes U+FFFD (see escapedRune). In an id it
// must not: two people whose names differ in it would be one.
func hasHalfPair(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return false
		}
		r, n := escapedRune(raw[i:])
		if r == utf8.RuneError {
			if unit, _ := codeUnit(raw[i:]); utf16.IsSurrogate(unit) {
				return true
			}
		}
		raw = raw[i+n:]
	}
}

func idField(name string) string { return idsField + "." + shown(name) }

// IDsIn is the inverse of [AppendIDs]: it yields a hard identifier for a string,
// and soft ones for an array of strings. Members of another kind are left out.
// Names and values are parts of obj if they have no escapes.
func IDsIn(obj []byte) iter.Seq[trackway.Identifier] {
	return func(yield func(trackway.Identifier) bool) {
		s := scanner{b: obj}
		for name := range s.members {
			if kind(s.peek()) != arrayKind {
				if v := s.value(); v.kind == stringKind && !yield(trackway.Identifier{Name: name, Value: v.text(), Hard: true}) {
					return
				}
				continue
			}
			for range s.elements {
				if v := s.value(); v.kind == stringKind && !yield(trackway.Identifier{Name: name, Value: v.text()}) {
					return
				}
			}
		}
	}
}
