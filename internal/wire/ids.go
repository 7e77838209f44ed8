package wire

import (
	"slices"
	"strconv"

	"trackway"
)

// idsField is the field that says whom a command or a request is about.
const idsField = "customer_ids"

// identifiers reads the value of "customer_ids": an object of strings, numbers, and arrays of these. They come sorted by
// name, those of an array in its order.
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
	for range s.elements {
		if err := d.addID(name, s.value(), "strings or numbers in the array"); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) addID(name string, v value, expected string) *trackway.Error {
	if len(d.ids)-d.firstID == maxIDs {
		return invalid(idsField, "Field '"+idsField+"': at most "+strconv.Itoa(maxIDs)+" ids.")
	}
	id := trackway.Identifier{Name: name}
	switch v.kind {
	case stringKind:
		id.Value = v.text()
	case numberKind:
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

func idField(name string) string { return idsField + "." + shown(name) }

// SplitIDs is the inverse of [AppendIDs]: a string is a hard identifier, an array of strings are soft ones. Members of
// another kind are left out.
func SplitIDs(obj []byte) (ids []trackway.Identifier) {
	for _, m := range SplitObject(obj) {
		s := scanner{b: m.Value}
		switch kind(s.peek()) {
		case stringKind:
			ids = append(ids, trackway.Identifier{Name: m.Name, Value: s.value().text(), Hard: true})
		case arrayKind:
			for range s.elements {
				if v := s.value(); v.kind == stringKind {
					ids = append(ids, trackway.Identifier{Name: m.Name, Value: v.text()})
				}
			}
		default:
		}
	}
	return ids
}
