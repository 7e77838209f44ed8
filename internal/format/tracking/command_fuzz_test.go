package tracking

import (
	"bytes"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
	"trackway/internal/iso8601"
)

// FuzzDecode gives the same body to every decoder. None panics, accepted bodies
// are JSON, and commands keep their promises.
func FuzzDecode(f *testing.F) {
	for _, body := range fixtureBodies(f) {
		f.Add(body)
	}
	for _, body := range []string{
		benchEvent, pyEvent,
		`{"commands":[{"name":"campaigns/clicks","command_id":[1],"data":{"url":"\/","customer_ids":{"a":[1e2,"\ud83d\ude00"],"a":[]}}},{}]}`,
		`{"customer_ids":{"a":1},"customer_ids":null,"properties":{"b":{"c":1, "c":2},"a":0,"b":[]},"age":-0.5e1,"type":"x"}`,
		`{"customers":[{"customer_ids":{"a":"b"}}],"customer_ids":{"a":7},"event_types":["x"],"order":"desc","limit":1,"skip":2}`,
		`{"attributes":[{"type":"id","id":"x"},{"type":"z"}],"customer_ids":{"a":7},"format":"csv","filter":"all"}`,
		`{"commands":[{"command_id":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}],"commands":[{"name":"customers"}]}`,
		`{"properties":{"a":` + strings.Repeat(`{"b":0,"a":`, 100) + "1" + strings.Repeat("}", 100) + `,"n":` + strings.Repeat("9", 65) + `}}`,
		`{"customer_ids":{"a":` + strings.Repeat("9", 64) + `},"properties":{"n":[1e400,1e-401]},"timestamp":"20240101T100000Z"}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		for _, name := range []string{Customers, Events, Clicks} {
			c, err := DecodeCommand(name, body, received)
			checkError(t, body, err)
			if err == nil {
				checkCommand(t, c)
			}
		}
		checkBatch(t, body)
		checkQueries(t, body)
		if !bytes.Equal(body, sent) {
			t.Errorf("the body was changed")
		}
	})
}

// anyJSON makes jsontext read everything that RFC 8259 allows: duplicate names
// and unpaired surrogates.
var anyJSON = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// checkError checks that the whole body is refused exactly if it is not an
// object in JSON.
func checkError(t *testing.T, body []byte, err *trackway.Error) {
	t.Helper()
	whole := err != nil && err.Field == ""
	if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) > 9_999 {
		return // jsontext accepts no more levels
	}
	v := jsontext.Value(body)
	if isObject := utf8.Valid(body) && v.IsValid(anyJSON...) && v.Kind() == '{'; isObject == whole {
		t.Errorf("got error %v, an object: %t", err, isObject)
	}
	if err != nil {
		if answer := jsontext.Value(AppendFieldError(nil, err)); err.Code != trackway.Invalid && err.Code != trackway.TooLarge || !answer.IsValid() {
			t.Errorf("got error %#v, answered as %s", err, answer)
		}
	}
}

// canonical returns a value in canonical form. The leading space forces a
// rewrite.
func canonical(value []byte) []byte {
	d := canonjson.Decode(slices.Concat([]byte(`{"a":[ `), value, []byte(`]}`)))
	properties, p := d.Properties()
	if p.Fault == canonjson.TooDeep { // because of the array around it
		return value
	}
	return bytes.TrimSuffix(bytes.TrimPrefix(properties[0].Value, []byte("[")), []byte("]"))
}

// faultOf returns the bound that a value exceeds.
func faultOf(value []byte) canonjson.Fault {
	s := canonjson.Scan(value)
	_, fault := s.Kept()
	return fault
}

func checkCommand(t *testing.T, c trackway.Command) {
	t.Helper()
	if c.Time < trackway.MinTime || c.Time > trackway.MaxTime {
		t.Errorf("got time %d", c.Time)
	}
	for i, p := range c.Properties {
		if i > 0 && c.Properties[i-1].Name >= p.Name {
			t.Errorf("%q comes before %q", c.Properties[i-1].Name, p.Name)
		}
		if again := canonical(p.Value); !bytes.Equal(again, p.Value) {
			t.Errorf("%s is not canonical: %s is", p.Value, again)
		}
		if fault := faultOf(p.Value); fault != canonjson.None {
			t.Errorf("%s is beyond bound %d", p.Value, fault)
		}
	}
	for i, id := range c.IDs {
		if i > 0 && c.IDs[i-1].Name > id.Name {
			t.Errorf("%q comes before %q", c.IDs[i-1].Name, id.Name)
		}
		if id.Value != strings.TrimSpace(id.Value) {
			t.Errorf("id %q is not trimmed", id.Value)
		}
	}
	object := canonjson.AppendObject(nil, c.Properties)
	if v := jsontext.Value(object); !v.IsValid() || !bytes.Equal(canonjson.AppendObject(nil, canonjson.SplitObject(object)), object) {
		t.Errorf("got properties %s", object)
	}
	if c.Anonymous && c.Type != clickType {
		t.Errorf("got %+v", c)
	}
}

func checkBatch(t *testing.T, body []byte) {
	t.Helper()
	b, err := DecodeBatch(body, received)
	items := itemsOf(b)
	if err == nil && (len(items) == 0 || len(items) > trackway.MaxCommands) {
		t.Errorf("got %d items", len(items))
	}
	for _, it := range items {
		if it.Err == nil && !it.Time {
			checkCommand(t, it.Command)
		}
		if len(it.CommandID) > 0 && faultOf(it.CommandID) != canonjson.None || len(it.CommandID) > maxCommandIDBytes {
			t.Errorf("got a command_id beyond a bound: %s", it.CommandID)
		}
	}
	if b == nil {
		return
	}
	answer := jsontext.Value(appendBatch(nil, b, received))
	if !answer.IsValid(anyJSON...) { // a command_id may be any JSON
		t.Errorf("the answer is not JSON: %s", answer)
	}
}

func checkQueries(t *testing.T, body []byte) {
	t.Helper()
	ids, err := DecodeCustomer(body)
	checkError(t, body, err)
	if err == nil && len(ids) == 0 {
		t.Error("a customer without ids")
	}
	customers, err := DecodeCustomers(body)
	if checkError(t, body, err); err == nil && len(customers) == 0 {
		t.Error("no customers")
	}
	events, err := DecodeEvents(body)
	if checkError(t, body, err); err == nil && (len(events.IDs) == 0 || len(events.Types) == 0 || events.Limit < 0 || events.Skip < 0) {
		t.Errorf("got %+v", events)
	}
	_, attributes, err := DecodeAttributes(body)
	if checkError(t, body, err); err == nil && len(attributes) == 0 {
		t.Error("no attributes")
	}
	format, _, _, err := DecodeExport(body)
	if checkError(t, body, err); err == nil && format == "" {
		t.Error("no format")
	}
}

// FuzzTimestamp compares numbers (as times and as ids) with exact arithmetic,
// and written times with package iso8601, which has a fuzz target of its own.
func FuzzTimestamp(f *testing.F) {
	for _, text := range []string{
		`"2018-8-5 12:20:25"`, `"20240101T100000Z"`, `"2024-01-01 12:00:00 +0200"`, `"2024-01-01"`, `"1969-12-31T24:00Z"`,
		`1533495544.343536`, `1.762000000123E9`, `-0`, `-0.0000005`, `12e-1`, `7289654399.9999995`, `0.00000000000001e14`, `1e255`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := canonjson.Scan([]byte(text))
		v := s.Value()
		s.End()
		switch {
		case s.Bad():
		case v.Kind == canonjson.Number:
			checkNumber(t, v.Raw)
		case v.Kind == canonjson.String:
			checkDateTime(t, v)
		}
	})
}

// checkDateTime checks that exactly the written times of accepted years are
// accepted.
func checkDateTime(t *testing.T, v canonjson.Value) {
	t.Helper()
	want, ok := iso8601.Parse(v.Text())
	ok = ok && want >= trackway.MinTime && want <= trackway.MaxTime
	if got, err := value.Time("timestamp", v); (err == nil) != ok || ok && got != want {
		t.Errorf("got %d, %v, want %d, %t", got, err, want, ok)
	}
}

func checkNumber(t *testing.T, raw []byte) {
	t.Helper()
	_, exponent, _ := strings.Cut(strings.ToLower(string(raw)), "e")
	if len(strings.TrimLeft(exponent, "+-0")) > len("999") || len(raw) > 1000 {
		return // too much work for package big
	}
	exact, _ := new(big.Rat).SetString(string(raw))
	if id, ok := canonjson.PlainDecimal(raw, trackway.MaxIDBytes); ok {
		spelled, _ := new(big.Rat).SetString(id)
		if spelled.Cmp(exact) != 0 || strings.ContainsAny(id, "eE+") || len(id) > trackway.MaxIDBytes+len("-0.") {
			t.Errorf("got id %q", id)
		}
		if again, ok := canonjson.PlainDecimal([]byte(id), len(id)); !ok || again != id {
			t.Errorf("got id %q for id %q", again, id)
		}
	}
	micros := new(big.Rat).Mul(exact, big.NewRat(1e6, 1))
	got, ok := canonjson.Millionths(raw)
	if !ok {
		if micros.Abs(micros).Cmp(big.NewRat(9e16, 1)) < 0 {
			t.Errorf("refused")
		}
		return
	}
	if off := micros.Sub(micros, new(big.Rat).SetInt64(got)); off.Abs(off).Cmp(big.NewRat(1, 2)) > 0 {
		t.Errorf("got %d microseconds", got)
	}
}
