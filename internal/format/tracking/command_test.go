package tracking

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
)

const received = trackway.Micros(1_700_000_000_250_000)

// decoded is a Command as tests write it.
type decoded struct {
	ids        string // name=value, in order
	properties string // as a canonical object
	typ        string
	at         trackway.Micros
	given      bool
	anonymous  bool
}

// told returns an error as a client sees it: its reason in words.
func told(err *trackway.Error) *trackway.Error {
	if err == nil {
		return nil
	}
	return &trackway.Error{Code: err.Code, Field: err.Field, Msg: Text(err)}
}

func decodedOf(c trackway.Command) decoded {
	var ids []string
	for _, id := range c.IDs {
		ids = append(ids, id.Name+"="+id.Value)
	}
	return decoded{
		ids: strings.Join(ids, " "), properties: string(canonjson.AppendObject(nil, c.Properties)),
		typ: c.Type, at: c.Time, given: c.TimeGiven, anonymous: c.Anonymous,
	}
}

func TestDecodeCommand(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name, body string
		want       decoded
	}{
		"empty": {Customers, `{}`, decoded{properties: `{}`, at: received}},
		"null is absent": {
			Events, `{"customer_ids":null,"properties":null,"event_type":null,"timestamp":null,"age":null}`,
			decoded{properties: `{}`, at: received},
		},
		"everything of an event": {
			Events, ` {"customer_ids":{"registered":"j","cookie":"c"},"properties":{"b":[1, 2],"a":"x"},"event_type":"Order Completed","timestamp":1000.5} `,
			decoded{ids: "cookie=c registered=j", properties: `{"a":"x","b":[1,2]}`, typ: "Order Completed", at: 1_000_500_000, given: true},
		},
		"escapes":                     {Events, `{"customer_ids":{"re\u0067":"\ud83d\ude00\/"},"event_type":"\"\u00e9\n"}`, decoded{ids: "reg=😀/", properties: `{}`, typ: "\"é\n", at: received}},
		"escaped name of a field":     {Events, `{"event\u005ftype":"x"}`, decoded{properties: `{}`, typ: "x", at: received}},
		"names are case-sensitive":    {Events, `{"Event_Type":"x"}`, decoded{properties: `{}`, at: received}},
		"unknown fields":              {Events, `{"event_type":"x","extra":[{"a":1}],"update_timestamp":true,"url":7}`, decoded{properties: `{}`, typ: "x", at: received}},
		"old name of the type":        {Events, `{"type":"x"}`, decoded{properties: `{}`, typ: "x", at: received}},
		"new name wins":               {Events, `{"event_type":"x","type":"y"}`, decoded{properties: `{}`, typ: "x", at: received}},
		"old name under null":         {Events, `{"event_type":null,"type":"y"}`, decoded{properties: `{}`, typ: "y", at: received}},
		"a customer has no type":      {Customers, `{"event_type":7}`, decoded{properties: `{}`, at: received}},
		"update_timestamp":            {Customers, `{"update_timestamp":5,"timestamp":6,"age":7}`, decoded{properties: `{}`, at: 5e6, given: true}},
		"timestamp of a customer":     {Customers, `{"timestamp":6,"age":7}`, decoded{properties: `{}`, at: 6e6, given: true}},
		"age of a customer":           {Customers, `{"age":7}`, decoded{properties: `{}`, at: received - 7e6}},
		"age of an event":             {Events, `{"age":0.11999988555908203}`, decoded{properties: `{}`, at: received - 120_000}},
		"age below zero":              {Events, `{"age":-1.5}`, decoded{properties: `{}`, at: received + 1_500_000}},
		"unused age is not looked at": {Events, `{"age":"x","timestamp":1}`, decoded{properties: `{}`, at: 1e6, given: true}},

		"ids: number":                     {Customers, `{"customer_ids":{"r":71901502034}}`, decoded{ids: "r=71901502034", properties: `{}`, at: received}},
		"ids: number beyond a float":      {Customers, `{"customer_ids":{"r":12345678901234567890123}}`, decoded{ids: "r=12345678901234567890123", properties: `{}`, at: received}},
		"ids: number by its value":        {Customers, `{"customer_ids":{"r":[1e3,1000.0,-1.50,12.5e-1,0.1e1,-0]}}`, decoded{ids: "r=1000 r=1000 r=-1.5 r=1.25 r=1 r=0", properties: `{}`, at: received}},
		"ids: array":                      {Customers, `{"customer_ids":{"registered":"r","cookie":["c2",1,"c1"]}}`, decoded{ids: "cookie=c2 cookie=1 cookie=c1 registered=r", properties: `{}`, at: received}},
		"ids: empty array":                {Customers, `{"customer_ids":{"registered":"r","cookie":[]}}`, decoded{ids: "cookie= registered=r", properties: `{}`, at: received}},
		"ids: null":                       {Customers, `{"customer_ids":{"registered":null,"cookie":[null,"c",null]}}`, decoded{ids: "cookie= cookie=c cookie= registered=", properties: `{}`, at: received}},
		"ids: trimmed":                    {Customers, `{"customer_ids":{"registered":" \t\u00a0a b\u3000\n","cookie":["\u2028","\ufeffc"]}}`, decoded{ids: "cookie= cookie=\ufeffc registered=a b", properties: `{}`, at: received}},
		"ids: a whole pair":               {Customers, `{"customer_ids":{"r":"\ud83d\ude00\ufffd\\ud83d"}}`, decoded{ids: `r=😀�\ud83d`, properties: `{}`, at: received}},
		"ids: what they hold is ingest's": {Customers, `{"customer_ids":{"registered":"","cookie":"null"}}`, decoded{ids: "cookie=null registered=", properties: `{}`, at: received}},

		"last wins: field":       {Events, `{"event_type":7,"event_type":"x","properties":[],"properties":{"a":1}}`, decoded{properties: `{"a":1}`, typ: "x", at: received}},
		"last wins: null":        {Events, `{"event_type":"x","event_type":null,"properties":{"a":1},"properties":null}`, decoded{properties: `{}`, at: received}},
		"last wins: id":          {Customers, `{"customer_ids":{"a":true,"b":["x","y"],"a":"1","b":"z"}}`, decoded{ids: "a=1 b=z", properties: `{}`, at: received}},
		"last wins: ids":         {Customers, `{"customer_ids":{"a":true},"customer_ids":{"b":"1"}}`, decoded{ids: "b=1", properties: `{}`, at: received}},
		"last wins: property":    {Customers, `{"properties":{"b":1,"a":1,"b":2,"\u0061":{"x":1,"x":2}}}`, decoded{properties: `{"a":{"x":2},"b":2}`, at: received}},
		"ids between properties": {Customers, `{"properties":{"a":1},"customer_ids":{"r":"x"},"properties":{"b":2}}`, decoded{ids: "r=x", properties: `{"b":2}`, at: received}},

		"click":               {Clicks, `{"url":"https://x/?a=b","timestamp":2,"properties":{"platform":"Android","a":1}}`, decoded{properties: `{"a":1,"platform":"Android","url":"https://x/?a=b"}`, typ: "campaign_click", at: 2e6, given: true, anonymous: true}},
		"click of somebody":   {Clicks, `{"customer_ids":{"cookie":"c"},"url":"u","event_type":"other","age":1}`, decoded{ids: "cookie=c", properties: `{"url":"u"}`, typ: "campaign_click", at: received - 1e6, anonymous: true}},
		"click: own url wins": {Clicks, `{"url":"https:\/\/x","properties":{"url":"y","z":1}}`, decoded{properties: `{"url":"https://x","z":1}`, typ: "campaign_click", at: received, anonymous: true}},
		"click without url":   {Clicks, `{"customer_ids":{},"properties":{"url":"y"}}`, decoded{properties: `{"url":"y"}`, typ: "campaign_click", at: received, anonymous: true}},
	}
	for title, test := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			c, err := DecodeCommand(test.name, []byte(test.body), received)
			if err != nil {
				t.Fatalf("got error %q", Text(err))
			}
			if diff := cmp.Diff(test.want, decodedOf(c), cmp.AllowUnexported(decoded{})); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			wantKind := trackway.AddEvent
			if test.name == Customers {
				wantKind = trackway.UpdateCustomer
			}
			if c.Kind != wantKind || c.Received != received {
				t.Errorf("got canonjson.Kind %d, received %d; want %d, %d", c.Kind, c.Received, wantKind, received)
			}
			// A kept command is never longer than the sent one, or an export
			// could not be imported again.
			if kept := len(c.Type) + len(test.want.properties); c.Bytes < kept || c.Bytes > kept+len(test.body) {
				t.Errorf("got %d bytes, of which %d are kept", c.Bytes, kept)
			}
		})
	}
}

func TestDecodeCommandErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 200)
	tests := []struct{ name, body, field, msg string }{
		{Customers, `{"customer_ids":[]}`, "customer_ids", "Field 'customer_ids': expected an object, got an array."},
		{Customers, `{"customer_ids":"x"}`, "customer_ids", "Field 'customer_ids': expected an object, got a string."},
		{Customers, `{"customer_ids":{"cookie":"anna\ud83d"}}`, "customer_ids.cookie", `Field 'customer_ids.cookie': expected text, got half a surrogate pair (\ud800 to \udfff).`},
		{Events, `{"customer_ids":{"cookie":["x","\u00e9\uDE00x"]}}`, "customer_ids.cookie", `Field 'customer_ids.cookie': expected text, got half a surrogate pair (\ud800 to \udfff).`},
		{Clicks, `{"customer_ids":{"cookie":"\n\ud83d\ud83d\ude00"}}`, "customer_ids.cookie", `Field 'customer_ids.cookie': expected text, got half a surrogate pair (\ud800 to \udfff).`},
		{Customers, `{"customer_ids":{"a":"x","cookie":{}}}`, "customer_ids.cookie", "Field 'customer_ids.cookie': expected a string, a number or an array of these, got an object."},
		{Customers, `{"customer_ids":{"cookie":true}}`, "customer_ids.cookie", "Field 'customer_ids.cookie': expected a string, a number or an array of these, got true."},
		{Customers, `{"customer_ids":{"cookie":["x",["y"]]}}`, "customer_ids.cookie", "Field 'customer_ids.cookie': expected strings or numbers in the array, got an array."},
		{Customers, `{"customer_ids":{"cookie":[false]}}`, "customer_ids.cookie", "Field 'customer_ids.cookie': expected strings or numbers in the array, got false."},
		{Customers, `{"customer_ids":{"cookie":1e400}}`, "customer_ids.cookie", "Field 'customer_ids.cookie': expected numbers of at most 64 digits."},
		{Customers, `{"customer_ids":{"` + long + `":true}}`, "customer_ids." + long[:64] + "…", "Field 'customer_ids." + long[:64] + "…': expected a string, a number or an array of these, got true."},
		{Customers, `{"customer_ids":{"x` + long + `":true}}`, "customer_ids.x" + long[:62] + "…", "Field 'customer_ids.x" + long[:62] + "…': expected a string, a number or an array of these, got true."},
		{Customers, `{"properties":[]}`, "properties", "Field 'properties': expected an object, got an array."},
		{Customers, `{"properties":7}`, "properties", "Field 'properties': expected an object, got a number."},
		{Customers, `{"properties":{"a":1},"properties":false}`, "properties", "Field 'properties': expected an object, got false."},
		{Events, `{"event_type":"","type":7}`, "event_type", "Field 'event_type' is empty."},
		{Events, `{"type":""}`, "type", "Field 'type' is empty."},
		{Events, `{"event_type":7}`, "event_type", "Field 'event_type': expected a string, got a number."},
		{Events, `{"type":[]}`, "type", "Field 'type': expected a string, got an array."},
		{Clicks, `{"url":7}`, "url", "Field 'url': expected a string, got a number."},
		{Events, `{"timestamp":true}`, "timestamp", "Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z, got true."},
		{Events, `{"timestamp":"yesterday"}`, "timestamp", "Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z."},
		{Events, `{"timestamp":"1533663283"}`, "timestamp", "Field 'timestamp': expected a number of seconds since 1970 or a date and time such as 2018-08-05T12:20:25.5Z."},
		{Events, `{"timestamp":1533663283894}`, "timestamp", "Field 'timestamp': expected a time between the years 1970 and 2200 (numbers are seconds)."},
		{Customers, `{"update_timestamp":-1}`, "update_timestamp", "Field 'update_timestamp': expected a time between the years 1970 and 2200 (numbers are seconds)."},
		{Events, `{"age":"1"}`, "age", "Field 'age': expected a number of seconds, got a string."},
		{Events, `{"age":1e99}`, "age", "Field 'age': expected a time between the years 1970 and 2200 (numbers are seconds)."},
		{Events, `{"age":2000000000}`, "age", "Field 'age': expected a time between the years 1970 and 2200 (numbers are seconds)."},
		{"customers/delete", `{}`, "name", "Unknown command 'customers/delete': known are customers, customers/events, campaigns/clicks and, in a batch, system/time."},
		{Customers, ``, "", "Invalid JSON"},
		{Customers, `[]`, "", "Invalid JSON"},
		{Customers, `{"properties":{"a":x}}`, "", "Invalid JSON"},
		{Customers, `{"customer_ids":{"a":"b","c":x}}`, "", "Invalid JSON"},
		{Customers, `null`, "", "Invalid JSON"},
		{Customers, `{} {}`, "", "Invalid JSON"},
		{Events, `{"timestamp":NaN}`, "", "Invalid JSON"},
		{Events, `{"customer_ids": {"registered": "a"}, `, "", "Invalid JSON"},
		{Events, `{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 99) + `}`, "", "Invalid JSON"},
	}
	for _, test := range tests {
		_, err := DecodeCommand(test.name, []byte(test.body), received)
		want := &trackway.Error{Code: trackway.Invalid, Field: test.field, Msg: test.msg}
		if diff := cmp.Diff(want, told(err)); diff != "" {
			t.Errorf("%s: -want +got\n%s", test.body, diff)
		}
	}
}

func TestDecodeCommandCopiesNothingInOrder(t *testing.T) {
	t.Parallel()
	body := []byte(`{"customer_ids":{"r":"x"},"properties":{"a":"b","c":{"d":[1]}},"event_type":"e"}`)
	c, err := DecodeCommand(Events, body, received)
	if err != nil {
		t.Fatal(err)
	}
	copy(body, strings.ToUpper(string(body)))
	want := decoded{ids: "R=X", properties: `{"A":"B","C":{"D":[1]}}`, typ: "E", at: received}
	if got := decodedOf(c); got != want {
		t.Errorf("got %+v, which does not alias the body", got)
	}
}

func TestTimestamps(t *testing.T) {
	t.Parallel()
	date := func(s string) trackway.Micros {
		at, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return trackway.MicrosOf(at)
	}
	accepted := map[string]trackway.Micros{
		`0`: 0, `-0`: 0, `-0.0000004`: 0, `0e9`: 0, `0.0000005`: 1, `0.00000049`: 0, `1e-7`: 0, `5E-7`: 1, `1E+1`: 10e6,
		`1533495544.343536`:                           1_533_495_544_343_536,
		`1533495544.3435365`:                          1_533_495_544_343_537,
		`1533495544.34353649999999999999999999999999`: 1_533_495_544_343_536,
		`1.762000000123E9`:                            1_762_000_000_123_000,
		`176200000012.3e-2`:                           1_762_000_000_123_000,
		`1762000004.0`:                                1_762_000_004_000_000,
		`0.00000000001e11`:                            1e6,
		`7289654399.999999`:                           trackway.MaxTime,
		`0e99999999999999999999`:                      0, `1e-99999999999999999999`: 0,

		`"2018-8-5T12:20:25.555Z"`:         date("2018-08-05T12:20:25.555Z"),
		`"2021-08-16t13:03:00.0000015z"`:   date("2021-08-16T13:03:00.000002Z"),
		`"2021-08-16T13:03:00.25-0730"`:    date("2021-08-16T13:03:00.25-07:30"),
		`"2024-01-01T10:00Z"`:              date("2024-01-01T10:00:00Z"),
		`"20240101T100000Z"`:               date("2024-01-01T10:00:00Z"),
		`"2024-01-01 10:00:00 UTC"`:        date("2024-01-01T10:00:00Z"),
		`"2024-01-01 12:00:00 +0200"`:      date("2024-01-01T10:00:00Z"),
		`"2024-01-01"`:                     date("2024-01-01T00:00:00Z"),
		`"1970-01-01T01:00:00+01:00"`:      0,
		`"1969-12-31T24:00:00Z"`:           0,
		`"2200-12-31T23:59:59.999999Z"`:    trackway.MaxTime,
		`"2021\u002d08-16T13:03:00\u005A"`: date("2021-08-16T13:03:00Z"),
	}
	for text, want := range accepted {
		c, err := DecodeCommand(Events, []byte(`{"timestamp":`+text+`}`), received)
		if err != nil || c.Time != want || !c.TimeGiven {
			t.Errorf("%s: got %d, given %t, error %v; want %d", text, c.Time, c.TimeGiven, err, want)
		}
	}
	refused := []string{
		`-0.0000005`, `-1`, `7289654400`, `7289654399.9999995`, `1e99`, `1e99999999999999999999`, `123456789012345678901234567890`,
		`[]`, `{}`, `true`, `false`,
		`""`, `"now"`, `"1533495544"`, `"20180805"`, `"2018-08-05T12:20:25."`, `"2018-08-05 12:20:25 "`, `"2018-02-29 12:20:25"`,
		`"1969-12-31T23:59:59Z"`, `"1970-01-01T00:59:59+01:00"`, `"2201-01-01T00:00:00Z"`, `"2200-12-31T24:00Z"`, `"2200-12-31T23:59:59.9999995Z"`,
	}
	for _, text := range refused {
		c, err := DecodeCommand(Events, []byte(`{"timestamp":`+text+`}`), received)
		if err == nil || err.Field != "timestamp" || !strings.HasPrefix(Text(err), "Field 'timestamp': expected ") {
			t.Errorf("%s: got %d, error %v", text, c.Time, err)
		}
	}
}
