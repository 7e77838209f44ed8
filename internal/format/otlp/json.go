package otlp

import (
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
	"trackway/internal/format/value"
)

// decodeJSON decodes a body in JSON: see [decodeProto]. Names of fields are in
// lowerCamelCase, 64-bit integers may be strings, ids of traces are in hex, and
// unknown fields are ignored (OTLP, section "JSON Protobuf Encoding").
func decodeJSON(p *trackway.Project, body []byte, received trackway.Micros) (*format.Batch, *trackway.Error) {
	d := jsonDecoder{builder: newBuilder(p, body, received)}
	s := canonjson.Scan(body)
	if s.Peek() != canonjson.Object {
		return nil, errJSON
	}
	for name := range s.Members {
		if name == "resourceLogs" {
			d.each(&s, d.resourceLogs)
		} else {
			s.Value()
		}
	}
	if s.End(); s.Bad() || d.bad {
		return nil, errJSON
	}
	if d.err != nil {
		return nil, d.err
	}
	return d.batch, nil
}

type jsonDecoder struct {
	*builder

	bad bool            // a part that was read later does not have the expected form
	err *trackway.Error // refuses the whole body
}

// each calls do for each object of an array. Null is an empty array.
func (d *jsonDecoder) each(s *canonjson.Scanner, do func(*canonjson.Scanner)) {
	if s.Peek() != canonjson.Array {
		d.bad = d.bad || !s.Value().Absent()
		return
	}
	for range s.Elements {
		if s.Peek() != canonjson.Object {
			s.Value()
			d.bad = true
			continue
		}
		do(s)
	}
}

// list reads the elements of a member whose meaning depends on another member.
// That other member usually comes first. If it does not, the elements are read
// when the object has ended.
func (d *jsonDecoder) list(s *canonjson.Scanner, head, list string, readHead func(*canonjson.Scanner), do func(*canonjson.Scanner)) {
	known := false
	var later []byte
	for name := range s.Members {
		switch {
		case name == head && s.Peek() == canonjson.Object:
			readHead(s)
			known = true
		case name == list && known:
			d.each(s, do)
		case name == list:
			later = s.Value().Raw
		default:
			s.Value()
		}
	}
	if later != nil && !s.Bad() {
		inner := canonjson.Scan(later)
		d.each(&inner, do)
		d.bad = d.bad || inner.Bad()
	}
}

func (d *jsonDecoder) resourceLogs(s *canonjson.Scanner) {
	d.resource.clear()
	d.resource.object = nil
	d.list(s, "resource", "scopeLogs", func(s *canonjson.Scanner) {
		for name := range s.Members {
			if name == "attributes" {
				d.attributes(s, &d.resource.attributes)
			} else {
				s.Value()
			}
		}
		d.share(&d.resource, "resource")
	}, d.scopeLogs)
}

func (d *jsonDecoder) scopeLogs(s *canonjson.Scanner) {
	d.scope.clear()
	d.scope.object = nil
	d.list(s, "scope", "logRecords", func(s *canonjson.Scanner) {
		for name := range s.Members {
			switch name {
			case "attributes":
				d.attributes(s, &d.scope.attributes)
			case scopeName, scopeVersion:
				if text := textOf(s); text != "" {
					start := len(d.json)
					d.json = canonjson.AppendString(d.json, text)
					d.add(&d.scope.attributes, name, start)
				}
			default:
				s.Value()
			}
		}
		d.share(&d.scope, "scope")
	}, d.logRecord)
}

func (d *jsonDecoder) attributes(s *canonjson.Scanner, a *attributes) {
	d.each(s, func(s *canonjson.Scanner) {
		key := ""
		start := len(d.json)
		for name := range s.Members {
			switch name {
			case "key":
				key = textOf(s)
			case "value":
				d.json = d.json[:start]
				d.value(s, a, &key)
			default:
				s.Value()
			}
		}
		if len(d.json) == start {
			d.json = append(d.json, "null"...)
		}
		if !s.Bad() {
			d.add(a, key, start)
		}
	})
}

// value appends an AnyValue to the builder's JSON in canonical form.
func (d *jsonDecoder) value(s *canonjson.Scanner, a *attributes, key *string) {
	w := writer{dst: d.json}
	start := len(w.dst)
	w.json(s, 0)
	if s.Bad() {
		return
	}
	d.json = w.done(start)
	if w.fault != "" {
		a.fail(value.Expected("attributes."+value.Shown(*key), w.fault))
	}
}

// textOf reads a string. It returns "" for any other value.
func textOf(s *canonjson.Scanner) string {
	if v := s.Value(); v.Kind == canonjson.String && !s.Bad() {
		return v.Text()
	}
	return ""
}

const anyValue = "a value of OTLP, such as {\"stringValue\":\"…\"}"

// valueFields are the fields of an AnyValue.
var valueFields = [...]string{"stringValue", "intValue", "doubleValue", "boolValue", "arrayValue", "kvlistValue", "bytesValue"}

// json writes an AnyValue. It ignores unknown fields.
func (w *writer) json(s *canonjson.Scanner, depth int) {
	if s.Peek() != canonjson.Object {
		if v := s.Value(); v.Absent() {
			w.null()
		} else {
			w.fail(anyValue)
		}
		return
	}
	start := len(w.dst)
	for name := range s.Members {
		kind := s.Peek()
		switch {
		case kind == canonjson.Null: // an absent field
			s.Value()
			continue
		case name == "arrayValue" && kind == canonjson.Object, name == "kvlistValue" && kind == canonjson.Object:
			w.dst = w.dst[:start]
			w.jsonList(s, depth, name == "kvlistValue")
			continue
		}
		v := s.Value()
		if s.Bad() {
			return
		}
		if slices.Contains(valueFields[:], name) {
			w.dst = w.dst[:start] // of several, the last one counts
			w.scalar(name, v)
		}
	}
	if len(w.dst) == start {
		w.null()
	}
}

// scalar writes a value that is neither an array nor an object.
func (w *writer) scalar(name string, v canonjson.Value) {
	isText := v.Kind == canonjson.String
	switch name {
	case "stringValue", "bytesValue":
		switch {
		case isText && v.Canonical:
			w.dst = append(w.dst, v.Raw...)
		case isText:
			w.dst = canonjson.AppendString(w.dst, v.Text())
		default:
			w.fail("a string as " + name)
		}
	case "boolValue":
		if v.Kind != canonjson.True && v.Kind != canonjson.False {
			w.fail("true or false as boolValue")
			return
		}
		w.dst = append(w.dst, v.Raw...)
	case "intValue":
		i, err := strconv.ParseInt(numeral(v), 10, 64)
		if err != nil {
			w.fail("an integer of 64 bits as intValue")
			return
		}
		w.integer(i)
	case "doubleValue":
		f, err := strconv.ParseFloat(numeral(v), 64)
		if err != nil {
			w.fail("a number as doubleValue")
			return
		}
		w.double(f)
	case "arrayValue", "kvlistValue":
		w.fail("an object as " + name)
	}
}

// numeral returns the text of a number, which may be in quotes.
func numeral(v canonjson.Value) string {
	const longest = 400
	switch {
	case len(v.Raw) > longest:
		return ""
	case v.Kind == canonjson.String:
		return v.Text()
	case v.Kind == canonjson.Number:
		return string(v.Raw)
	}
	return ""
}

// jsonList writes an ArrayValue, or a KeyValueList as an object.
func (w *writer) jsonList(s *canonjson.Scanner, depth int, object bool) {
	if !w.open(object, depth) {
		s.Value()
		return
	}
	n := 0
	for name := range s.Members {
		if name != "values" || n > 0 || s.Peek() != canonjson.Array {
			s.Value()
			continue
		}
		for range s.Elements {
			if object {
				w.jsonMember(s, depth, n)
			} else {
				w.element(n)
				w.json(s, depth+1)
			}
			n++
		}
	}
	w.close(object)
}

// jsonMember writes a KeyValue as a member. The key may come after the value,
// so it is moved in front of the value once both are known.
func (w *writer) jsonMember(s *canonjson.Scanner, depth, n int) {
	if s.Peek() != canonjson.Object {
		s.Value()
		w.member(n, "")
		w.fail("objects in kvlistValue")
		return
	}
	key := ""
	w.element(n)
	start := len(w.dst)
	for name := range s.Members {
		switch name {
		case "key":
			key = textOf(s)
		case "value":
			w.dst = w.dst[:start]
			w.json(s, depth+1)
		default:
			s.Value()
		}
	}
	if len(w.dst) == start {
		w.null()
	}
	w.counted(n)
	w.dst = slices.Insert(w.dst, start, append(canonjson.AppendString(nil, key), ':')...)
}

func (d *jsonDecoder) logRecord(s *canonjson.Scanner) {
	d.records++
	if d.records > MaxRecords || d.err != nil {
		if d.err == nil {
			d.err = errRecords
		}
		s.Value()
		return
	}
	d.left = s.Left()
	d.one.clear()
	var r record
	for name := range s.Members {
		switch name {
		case "attributes":
			d.one.list = d.one.list[:0]
			d.attributes(s, &d.one)
		case "body":
			start := len(d.json)
			key := "body"
			d.value(s, &d.one, &key)
			r.body = d.json[start:len(d.json):len(d.json)]
		default:
			if v := s.Value(); !v.Absent() && !s.Bad() {
				r.field(name, v)
			}
		}
	}
	if s.Bad() {
		return
	}
	d.err = d.finish(&r)
}

// field notes a field that is not a message. It ignores unknown fields.
func (r *record) field(name string, v canonjson.Value) {
	switch name {
	case "timeUnixNano":
		r.time = r.number(name, v)
	case "observedTimeUnixNano":
		r.observed = r.number(name, v)
	case "severityNumber":
		r.severity = r.number(name, v)
	case "severityText":
		r.severityText = r.text(name, v)
	case "eventName":
		r.name = r.text(name, v)
	case "traceId":
		r.traceID = r.id(name, v)
	case "spanId":
		r.spanID = r.id(name, v)
	}
}

// number returns the value of a field that is an unsigned number, or a string
// with one.
func (r *record) number(field string, v canonjson.Value) uint64 {
	n, err := strconv.ParseUint(numeral(v), 10, 64)
	if err != nil {
		r.fail(value.Expected(field, "a whole number"))
	}
	return n
}

// text returns the value of a field that is a string.
func (r *record) text(field string, v canonjson.Value) string {
	if v.Kind != canonjson.String {
		r.fail(value.Unexpected(field, "a string", v.Kind))
		return ""
	}
	return v.Text()
}

// id returns the id of a trace or a span, or "" if it is all zeros.
func (r *record) id(field string, v canonjson.Value) string {
	id := strings.ToLower(r.text(field, v))
	const longest = 32
	if strings.Trim(id, "0123456789abcdef") != "" || len(id) > longest {
		r.fail(value.Expected(field, "at most 32 hexadecimal digits"))
	}
	if strings.Trim(id, "0") == "" {
		return ""
	}
	return id
}

func (r *record) fail(err *trackway.Error) {
	if r.err == nil {
		r.err = err
	}
}
