package foreign

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
	"trackway/internal/iso8601"
)

// object holds the members of a JSON object, as they were sent.
type object []member

type member struct {
	name  string
	value canonjson.Value
}

var errObject = &trackway.Error{Code: trackway.Invalid, Msg: "The line is no JSON object."}

// read reads an object. It reports false for any other text.
func read(text []byte) (object, bool) {
	s := canonjson.Scan(text)
	if s.Peek() != canonjson.Object {
		return nil, false
	}
	o := make(object, 0, canonjson.Usual)
	for name := range s.Members {
		o = append(o, member{name, s.Value()})
	}
	s.End()
	return o, !s.Bad()
}

// get returns the value of a member, or an absent value if there is no such
// member. If there are several, the last one counts.
func (o object) get(name string) canonjson.Value {
	for _, m := range slices.Backward(o) {
		if m.name == name {
			return m.value
		}
	}
	return canonjson.Value{}
}

// text returns the text of a member, or "" for any other value.
func (o object) text(name string) string {
	v := o.get(name)
	if v.Kind != canonjson.String {
		return ""
	}
	return v.Text()
}

// inner returns the object that is the value of a member.
func (o object) inner(name string) (object, bool) {
	v := o.get(name)
	if v.Kind != canonjson.Object {
		return nil, false
	}
	return read(v.Raw)
}

// each calls do with every element of a value that is an array of objects.
func each(v canonjson.Value, do func(object)) *trackway.Error {
	s := canonjson.Scan(v.Raw)
	for range s.Elements {
		o, ok := read(s.Value().Raw)
		if !ok {
			return errObject
		}
		do(o)
	}
	return nil
}

// without returns the members except those with these names.
func (o object) without(names ...string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return slices.Contains(names, m.name) })
}

// appendText appends the object as JSON, with the members as they were sent.
func (o object) appendText(b []byte) []byte {
	b = append(b, '{')
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(canonjson.AppendString(b, m.name), ':')
		b = append(b, m.value.Raw...)
	}
	return append(b, '}')
}

// properties returns the members in the form of properties.
func (o object) properties() ([]trackway.Property, *trackway.Error) {
	d := canonjson.Decode(o.appendText(nil))
	all, p := d.Properties()
	if p.Fault == canonjson.None {
		return all, nil
	}
	return nil, value.Problem("properties", p)
}

const aTime = "a time such as 2018-08-05T12:20:25.5Z, or Unix seconds or milliseconds"

// leastMillis is the smallest number that counts as milliseconds. As seconds,
// it would be the year 5138, which is beyond every accepted time.
const leastMillis = 1e11

// timeOf returns the time in a field.
func timeOf(field string, v canonjson.Value) (trackway.Micros, *trackway.Error) {
	switch v.Kind {
	case canonjson.Number:
		number, err := strconv.ParseFloat(string(v.Raw), 64)
		if err == nil && number >= leastMillis {
			return within(field, int64(math.Round(math.Min(number*1000, math.MaxInt64/2))), true)
		}
		micros, ok := canonjson.Millionths(v.Raw)
		return within(field, micros, ok)
	case canonjson.String:
		at, ok := iso8601.Parse(strings.TrimSpace(v.Text()))
		return within(field, int64(at), ok)
	}
	return 0, value.Expected(field, aTime)
}

func within(field string, micros int64, ok bool) (trackway.Micros, *trackway.Error) {
	at := trackway.Micros(micros)
	if !ok || at < trackway.MinTime || at > trackway.MaxTime {
		return 0, value.Expected(field, aTime)
	}
	return at, nil
}

// naming gathers the identifiers of a command.
type naming struct {
	project *trackway.Project
	all     []trackway.Identifier
	err     *trackway.Error
}

// user adds the id of a user, and device adds that of a device or browser,
// under the project's names for these.
func (n *naming) user(field string, v canonjson.Value) { n.add(n.project.User, field, v) }

func (n *naming) device(field string, v canonjson.Value) { n.add(n.project.Device, field, v) }

// add adds an identifier, or each element of an array. It skips null and empty
// texts, which name nobody, and identifiers that were already added.
func (n *naming) add(name, field string, v canonjson.Value) {
	if name == "" || v.Absent() {
		return
	}
	if v.Kind == canonjson.Array {
		s := canonjson.Scan(v.Raw)
		for range s.Elements {
			n.add(name, field, s.Value())
		}
		return
	}
	text, err := value.ID(field, v)
	if err != nil {
		n.refuse(err)
		return
	}
	id := trackway.Identifier{Name: name, Value: text}.Trimmed()
	if id.Value != "" && !slices.Contains(n.all, id) {
		n.all = append(n.all, id)
	}
}

func (n *naming) refuse(err *trackway.Error) {
	if n.err == nil {
		n.err = err
	}
}
