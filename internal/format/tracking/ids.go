package tracking

import (
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// idsField is the field that identifies the customer of a command or a request.
const idsField = "customer_ids"

// propertiesField is the field whose members are a command's properties.
const propertiesField = "properties"

// identifiers reads the value of "customer_ids": an object of strings, numbers,
// and arrays of these. It returns them trimmed and sorted by name; those of an
// array keep their order. Null and an empty array become an id with an empty
// value, so that its name is checked like any other.
func (d *decoder) identifiers() ([]trackway.Identifier, *trackway.Error) {
	var room [canonjson.Usual]canonjson.Member
	members, p := d.Collect(room[:0], false)
	if p.Fault != canonjson.None || d.Bad() {
		return nil, value.Problem(idsField, p)
	}
	var entries [canonjson.Usual]canonjson.Entry
	order := d.InOrder(entries[:0], members)
	d.makeRoomForIDs(members)
	start := len(d.ids)
	d.firstID = start
	for i := range order {
		m := &members[order[i].Index]
		if err := d.identifier(m.Name, d.ValueOf(m)); err != nil {
			return nil, err
		}
	}
	return slices.Clip(d.ids[start:]), nil
}

// makeRoomForIDs makes room for all ids that the members hold, so that adding
// them moves none. It assumes that the following commands are similar.
func (d *decoder) makeRoomForIDs(members []canonjson.Member) {
	const bytesPerCommand, usualIDs = 512, 4
	n := 0
	for i := range members {
		n++
		if raw := d.Raw(&members[i]); raw[0] == '[' {
			s := canonjson.Scan(raw)
			for range s.Elements {
				s.Value()
				n++
			}
		}
	}
	if n = min(n, maxIDs); n > cap(d.ids)-len(d.ids) {
		if n <= usualIDs {
			n += n * min(d.Left()/bytesPerCommand, trackway.MaxCommands)
		}
		d.ids = make([]trackway.Identifier, 0, n)
	}
}

// identifier adds the ids of one member of "customer_ids".
func (d *decoder) identifier(name string, v canonjson.Value) *trackway.Error {
	if v.Kind != canonjson.Array {
		return d.addID(name, v, "a string, a number or an array of these")
	}
	s := canonjson.Scan(v.Raw)
	before := len(d.ids)
	for range s.Elements {
		if err := d.addID(name, s.Value(), "strings or numbers in the array"); err != nil {
			return err
		}
	}
	if len(d.ids) == before {
		return d.addID(name, canonjson.Value{}, "")
	}
	return nil
}

func (d *decoder) addID(name string, v canonjson.Value, what string) *trackway.Error {
	if len(d.ids)-d.firstID == maxIDs {
		return value.TooMany(idsField, maxIDs, "ids")
	}
	id := trackway.Identifier{Name: name}
	switch {
	case v.Absent():
	case v.Kind == canonjson.String:
		if v.HasHalfPair() {
			return value.Expected(idField(name), `text, got half a surrogate pair (\ud800 to \udfff)`)
		}
		id.Value = trackway.Identifier{Value: v.Text()}.Trimmed().Value
	case v.Kind == canonjson.Number:
		var ok bool
		if id.Value, ok = canonjson.PlainDecimal(v.Raw, canonjson.MaxDigits); !ok {
			return value.Beyond(idField(name), canonjson.TooLong)
		}
	default:
		return value.Unexpected(idField(name), what, v.Kind)
	}
	d.ids = append(d.ids, id)
	return nil
}

func idField(name string) string { return idsField + "." + value.Shown(name) }
