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
	borrowed := len(d.properties)
	members, err := d.object(idsField)
	d.properties = d.properties[:borrowed]
	if err != nil {
		return nil, err
	}
	start := len(d.ids)
	d.firstID = start
	for _, m := range members {
		if err := d.identifier(m.Name, m.Value); err != nil {
			return nil, err
		}
	}
	return slices.Clip(d.ids[start:]), nil
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
		if id.Value, ok = plainDecimal(v.raw, trackway.MaxIDBytes); !ok {
			return invalid(idField(name), "Field '"+idField(name)+"': the number has more than 256 digits.")
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
