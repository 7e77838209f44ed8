package otlp

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format"
)

const received = trackway.Micros(1_700_000_000_000_000)

var shop = &trackway.Project{Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie"}

// The fields of messages, for tests.

func bytesField(id protowire.Number, content string) string {
	return string(protowire.AppendString(protowire.AppendTag(nil, id, protowire.BytesType), content))
}

func varint(id protowire.Number, n uint64) string {
	return string(protowire.AppendVarint(protowire.AppendTag(nil, id, protowire.VarintType), n))
}

func fixed64(id protowire.Number, n uint64) string {
	return string(protowire.AppendFixed64(protowire.AppendTag(nil, id, protowire.Fixed64Type), n))
}

func attribute(id protowire.Number, key, anyValue string) string {
	return bytesField(id, bytesField(1, key)+bytesField(2, anyValue))
}

func text(s string) string { return bytesField(1, s) }

// request returns a body with these records, and the content of its resource
// and its scope.
func request(resource, scope string, records ...string) []byte {
	var logs strings.Builder
	logs.WriteString(bytesField(1, scope))
	for _, r := range records {
		logs.WriteString(bytesField(2, r))
	}
	return []byte(bytesField(1, bytesField(1, resource)+bytesField(2, logs.String())))
}

// sample is a request in both encodings.
var sample = struct {
	proto []byte
	json  string
}{
	request(
		attribute(1, "service.name", text("shop"))+attribute(1, "device.id", text("d1")),
		bytesField(1, "checkout")+bytesField(2, "1.2")+attribute(3, "k", varint(2, 1)),
		fixed64(1, 1_700_000_000_123_456_789)+varint(2, 9)+bytesField(3, "INFO")+bytesField(5, text("paid\n"))+
			attribute(6, "total", fixed64(4, math.Float64bits(7.99)))+attribute(6, "count", varint(3, 1<<64-3))+
			attribute(6, "enduser.id", text("u1"))+attribute(6, "session.id", text("s1"))+
			attribute(6, "tags", bytesField(5, bytesField(1, text("a"))+bytesField(1, varint(2, 0))+bytesField(1, "")))+
			attribute(6, "map", bytesField(6, bytesField(1, bytesField(1, "b")+bytesField(2, varint(3, 2)))+bytesField(1, bytesField(1, "a")+bytesField(2, bytesField(6, "")))))+
			attribute(6, "raw", bytesField(7, "\x00\xff"))+
			bytesField(9, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10")+bytesField(10, "\x00\x00\x00\x00\x00\x00\x00\x00")+
			fixed64(11, 1)+bytesField(12, "Order Completed"),
		fixed64(11, 1_700_000_001_000_000_000)+attribute(6, "event.name", text("old"))+attribute(6, "user.id", varint(3, 5)),
		bytesField(5, text("a line of a log"))+attribute(6, "user.id", text("u1")),
	),
	`{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"device.id","value":{"stringValue":"d1"}}]},
	"scopeLogs":[{"scope":{"name":"checkout","version":"1.2","attributes":[{"key":"k","value":{"boolValue":true}}]},"logRecords":[
	{"timeUnixNano":"1700000000123456789","severityNumber":9,"severityText":"INFO","body":{"stringValue":"paid\n"},"attributes":[
		{"key":"total","value":{"doubleValue":7.99}},{"value":{"intValue":"-3"},"key":"count"},
		{"key":"enduser.id","value":{"stringValue":"u1"}},{"key":"session.id","value":{"stringValue":"s1"}},
		{"key":"tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"boolValue":false},{}]}}},
		{"key":"map","value":{"kvlistValue":{"values":[{"value":{"intValue":2},"key":"b"},{"key":"a","value":{"kvlistValue":{}}}]}}},
		{"key":"raw","value":{"bytesValue":"AP8="}}],
	"traceId":"0102030405060708090A0B0C0D0E0F10","spanId":"0000000000000000","observedTimeUnixNano":1,"eventName":"Order Completed","flags":1,"new":[]},
	{"observedTimeUnixNano":1700000001000000000,"attributes":[{"key":"event.name","value":{"stringValue":"old"}},{"key":"user.id","value":{"intValue":5}}]},
	{"body":{"stringValue":"a line of a log"},"attributes":[{"key":"user.id","value":{"stringValue":"u1"}}]}
	]}]}]}`,
}

const sampleWant = `registered=u1 cookie=d1 cookie=s1 'Order Completed' 1700000000.123456 given {"body":"paid\n","count":-3,"map":{"a":{},"b":2},"raw":"AP8=",` +
	`"resource":{"service.name":"shop"},"scope":{"k":true,"name":"checkout","version":"1.2"},"severity_number":9,"severity_text":"INFO",` +
	`"tags":["a",false,null],"total":7.99,"trace_id":"0102030405060708090a0b0c0d0e0f10"}
registered=5 cookie=d1 'old' 1700000001 given {"resource":{"service.name":"shop"},"scope":{"k":true,"name":"checkout","version":"1.2"}}
registered=u1 cookie=d1 '' refused: Field 'event_name' is required.
`

// shown returns a batch as people read it.
func shown(b *format.Batch) string {
	var s strings.Builder
	for i := range b.Commands {
		c := &b.Commands[i]
		for _, id := range c.IDs {
			fmt.Fprintf(&s, "%s=%s ", id.Name, id.Value)
		}
		fmt.Fprintf(&s, "'%s' ", c.Type)
		if err := b.Results[i].Err; err != nil {
			fmt.Fprintf(&s, "refused: %s\n", Text(err))
			continue
		}
		fmt.Fprintf(&s, "%s ", c.Time.AppendSeconds(nil))
		if c.TimeGiven {
			s.WriteString("given ")
		}
		fmt.Fprintf(&s, "%s\n", canonjson.AppendObject(nil, c.Properties))
	}
	return s.String()
}

// TestUnknownFields checks that a field of a later version does not hide a
// value.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`{"stringValue":"x","future":1}`, `{"future":{"stringValue":"y"},"stringValue":"x"}`, `{"intValue":1,"stringValue":"x"}`} {
		b, err := decodeJSON(shop, []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"e","attributes":[`+
			`{"key":"user.id","value":{"stringValue":"u"}},{"key":"a","value":`+value+`}]}]}]}]}`), received)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(canonjson.AppendObject(nil, b.Commands[0].Properties)); got != `{"a":"x"}` {
			t.Errorf("%s: got %s", value, got)
		}
	}
}

// TestDecode checks that both encodings of a request mean the same.
func TestDecode(t *testing.T) {
	t.Parallel()
	b, err := decodeProto(shop, sample.proto, received)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleWant, shown(b)); diff != "" {
		t.Errorf("protocol buffers (-want +got):\n%s", diff)
	}
	fromJSON, err := decodeJSON(shop, []byte(sample.json), received)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(sampleWant, shown(fromJSON)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(b.Commands, fromJSON.Commands); diff != "" {
		t.Errorf("the encodings differ (-proto +json):\n%s", diff)
	}
}

// TestAttributes decodes records for projects that name the attributes with
// ids. The attributes that usually hold ids are then properties.
func TestAttributes(t *testing.T) {
	t.Parallel()
	const all = `{"eventName":"e","attributes":[{"key":"user.id","value":{"stringValue":"u"}},{"key":"app.account","value":{"intValue":7}},` +
		`{"key":"app.login","value":{"stringValue":"jane"}},{"key":"app.tab","value":{"stringValue":"t"}},{"key":"device.id","value":{"stringValue":"d"}}]}`
	const resource = `{"attributes":[{"key":"app.login","value":{"stringValue":"j"}},{"key":"app.browser","value":{"stringValue":"b"}}]}`
	for name, test := range map[string]struct {
		user, device []string
		want         string
	}{
		"the usual": {nil, nil, `registered=u cookie=d 'e' 1700000000 {"app.account":7,"app.login":"jane","app.tab":"t","resource":{"app.browser":"b","app.login":"j"}}`},
		"others": {
			[]string{"app.login", "app.account"},
			[]string{"app.tab", "app.browser"},
			`registered=jane cookie=t cookie=b 'e' 1700000000 {"device.id":"d","user.id":"u"}`,
		},
		"in the resource": {[]string{"app.name", "app.browser"}, nil, `registered=b cookie=d 'e' 1700000000 {"app.account":7,"app.login":"jane","app.tab":"t","resource":{"app.login":"j"},"user.id":"u"}`},
		"none of devices": {nil, []string{}, `registered=u 'e' 1700000000 {"app.account":7,"app.login":"jane","app.tab":"t","device.id":"d","resource":{"app.browser":"b","app.login":"j"}}`},
	} {
		p := *shop
		p.UserAttributes, p.DeviceAttributes = test.user, test.device
		b, err := decodeJSON(&p, []byte(`{"resourceLogs":[{"resource":`+resource+`,"scopeLogs":[{"scope":{},"logRecords":[`+all+`]}]}]}`), received)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSuffix(shown(b), "\n"); got != test.want {
			t.Errorf("%s: got %s, want %s", name, got, test.want)
		}
	}
}

// TestOrder checks that the parts of a request may come in any order.
func TestOrder(t *testing.T) {
	t.Parallel()
	record := attribute(6, "user.id", text("u"))
	body := []byte(bytesField(1, bytesField(2, bytesField(2, record+bytesField(12, "e"))+bytesField(1, bytesField(1, "s")))+bytesField(1, attribute(1, "r", text("1")))))
	const want = "registered=u 'e' 1700000000 {\"resource\":{\"r\":\"1\"},\"scope\":{\"name\":\"s\"}}\n"
	b, err := decodeProto(shop, body, received)
	if err != nil || shown(b) != want {
		t.Errorf("got %v, %v, want %s", shown(b), err, want)
	}
	b, err = decodeJSON(shop, []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"e","attributes":[{"value":{"stringValue":"u"},"key":"user.id"}]}],`+
		`"scope":{"name":"s"}}],"resource":{"attributes":[{"key":"r","value":{"stringValue":"1"}}]}}]}`), received)
	if err != nil || shown(b) != want {
		t.Errorf("got %v, %v, want %s", shown(b), err, want)
	}
}

// TestRecords decodes single records, in both encodings.
func TestRecords(t *testing.T) {
	t.Parallel()
	const who, named = `{"key":"user.id","value":{"stringValue":"u"}}`, `"eventName":"e"`
	ids := attribute(6, "user.id", text("u")) + bytesField(12, "e")
	deep := func(open, shut, inner string) string {
		return strings.Repeat(open, 101) + inner + strings.Repeat(shut, 101)
	}
	deepProto := ""
	for range 101 {
		deepProto = bytesField(5, bytesField(1, deepProto))
	}
	for name, test := range map[string]struct{ json, proto, want string }{
		"no time": {
			`{` + named + `,"attributes":[` + who + `]}`, ids,
			"registered=u 'e' 1700000000 {}",
		},
		"no id": {`{` + named + `}`, bytesField(12, "e"), "'e' 1700000000 {}"}, // internal/ingest refuses it
		"attributes win over the record's own": {
			`{` + named + `,"severityText":"x","attributes":[` + who + `,{"key":"severity_text","value":{"stringValue":"mine"}}]}`,
			ids + bytesField(3, "x") + attribute(6, "severity_text", text("mine")),
			`registered=u 'e' 1700000000 {"severity_text":"mine"}`,
		},
		"the first of equal names": {
			`{` + named + `,"attributes":[` + who + `,{"key":"a","value":{"intValue":1}},{"key":"a","value":{"intValue":2}}]}`,
			ids + attribute(6, "a", varint(3, 1)) + attribute(6, "a", varint(3, 2)),
			`registered=u 'e' 1700000000 {"a":1}`,
		},
		"not a number": {
			`{` + named + `,"attributes":[` + who + `,{"key":"a","value":{"doubleValue":"NaN"}}]}`,
			ids + attribute(6, "a", fixed64(4, math.Float64bits(math.NaN()))),
			`registered=u 'e' refused: Field 'attributes.a': expected a finite number.`,
		},
		"numbers": {
			`{` + named + `,"attributes":[` + who + `,{"key":"a","value":{"doubleValue":1e21}},{"key":"b","value":{"doubleValue":"-0.0000001"}}]}`,
			ids + attribute(6, "a", fixed64(4, math.Float64bits(1e21))) + attribute(6, "b", fixed64(4, math.Float64bits(-1e-7))),
			`registered=u 'e' 1700000000 {"a":1e+21,"b":-1e-07}`,
		},
		"too deep": {
			`{` + named + `,"attributes":[` + who + `,{"key":"a","value":` + deep(`{"arrayValue":{"values":[`, `]}}`, `{"intValue":1}`) + `}]}`,
			ids + attribute(6, "a", deepProto),
			`registered=u 'e' refused: Field 'attributes.a': expected at most 100 levels of arrays and objects.`,
		},
		"an id that is a list": {
			`{` + named + `,"attributes":[{"key":"user.id","value":{"arrayValue":{}}}]}`,
			bytesField(12, "e") + attribute(6, "user.id", bytesField(5, "")),
			`'e' refused: Field 'user.id': expected a string or a number, got an array.`,
		},
		"a time beyond 2200": {
			`{` + named + `,"timeUnixNano":"18446744073709551615","attributes":[` + who + `]}`,
			ids + fixed64(1, math.MaxUint64),
			`registered=u 'e' refused: Field 'time_unix_nano': expected a time between the years 1970 and 2200 (numbers are seconds).`,
		},
		"null is absent": {
			`{` + named + `,"timeUnixNano":null,"body":null,"traceId":null,"attributes":[` + who + `]}`, ids + bytesField(5, ""),
			`registered=u 'e' 1700000000 {}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := decodeProto(shop, request("", "", test.proto), received)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(shown(b)); got != test.want {
				t.Errorf("protocol buffers: got %s, want %s", got, test.want)
			}
			b, err = decodeJSON(shop, []byte(`{"resourceLogs":[{"scopeLogs":[{"logRecords":[`+test.json+`]}]}]}`), received)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(shown(b)); got != test.want {
				t.Errorf("JSON: got %s, want %s", got, test.want)
			}
		})
	}
}

// TestNoText checks that a name is refused if it is not UTF-8. It would make
// everything invalid that is written about the event: the answers, the exports,
// and the data of destinations.
func TestNoText(t *testing.T) {
	t.Parallel()
	b, err := decodeProto(shop, request("", "", bytesField(12, "e\xff")+attribute(6, "user.id", text("u"))), received)
	if err != nil {
		t.Fatal(err)
	}
	const want = "registered=u 'e\uFFFD' refused: Field 'event_name': expected text in UTF-8."
	if got := strings.TrimSpace(shown(b)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestBad checks bodies that are refused as a whole.
func TestBad(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"cut off": string(sample.proto[:len(sample.proto)-1]), "text": "hello", "a length beyond the end": "\x0a\x7fabc",
		"a damaged value": string(request("", "", attribute(6, "a", "\xff\xff"))), "a field number of zero": "\x00\x00",
	} {
		if b, err := decodeProto(shop, []byte(body), received); err != errProto {
			t.Errorf("%s: got %+v, %v", name, b, err)
		}
	}
	for _, body := range []string{
		"", "null", "[]", `{"resourceLogs":{}}`, `{"resourceLogs":[1]}`, `{"resourceLogs":[]}x`, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{]}]}]}`,
		`{"resourceLogs":[{"scopeLogs":[[]]}]}`, sample.json[:len(sample.json)-1],
	} {
		if b, err := decodeJSON(shop, []byte(body), received); err != errJSON {
			t.Errorf("%s: got %+v, %v", body, b, err)
		}
	}
	for _, empty := range []string{"", string(request("", ""))} {
		if b, err := decodeProto(shop, []byte(empty), received); err != nil || len(b.Commands) > 0 {
			t.Errorf("%q: got %+v, %v", empty, b, err)
		}
	}
	for _, empty := range []string{"{}", `{"resourceLogs":null}`, `{"resourceLogs":[{"resource":null,"scopeLogs":null}]}`} {
		if b, err := decodeJSON(shop, []byte(empty), received); err != nil || len(b.Commands) > 0 {
			t.Errorf("%s: got %+v, %v", empty, b, err)
		}
	}
}

// TestBounds checks the bounds on a body.
func TestBounds(t *testing.T) {
	t.Parallel()
	one := attribute(6, "user.id", text("u")) + bytesField(12, "e")
	records := make([]string, MaxRecords+1)
	for i := range records {
		records[i] = one
	}
	if b, err := decodeProto(shop, request("", "", records[1:]...), received); err != nil || len(b.Commands) != MaxRecords {
		t.Errorf("got %v for %d records", err, MaxRecords)
	}
	if _, err := decodeProto(shop, request("", "", records...), received); err != errRecords {
		t.Errorf("got %v for %d records", err, len(records))
	}
	array := `{"resourceLogs":[{"scopeLogs":[{"logRecords":[` + strings.Repeat("{},", MaxRecords) + `{}]}]}]}`
	if _, err := decodeJSON(shop, []byte(array), received); err != errRecords {
		t.Errorf("got %v for %d records in JSON", err, len(records))
	}
	// Each record would repeat this resource.
	large := attribute(1, "a", text(strings.Repeat("x", maxShared-8)))
	if _, err := decodeProto(shop, request(large, "", records[:maxTotal/maxShared+10]...), received); err != errTotal {
		t.Errorf("got %v for a resource of %d bytes", err, len(large))
	}
	b, err := decodeProto(shop, request(large+attribute(1, "b", text("more")), "", one), received)
	if err != nil || b.Results[0].Err == nil || b.Results[0].Err.Field != "resource" {
		t.Errorf("got %v, %v for a resource that is too large", shown(b), err)
	}
	wide := one + strings.Repeat(attribute(6, "a", ""), canonjson.MaxMembers+1)
	if b, err = decodeProto(shop, request("", "", wide), received); err != nil || b.Results[0].Err == nil || b.Results[0].Err.Field != "attributes" {
		t.Errorf("got %v, %v for too many attributes", shown(b), err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	b, _ := decodeProto(shop, sample.proto, received)
	_, got, _ := jsonResults(b, received)
	const want = `{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"1 of 3 log records were rejected. The first: Field 'event_name' is required."}}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	_, got, _ = protoResults(b, received)
	message := "1 of 3 log records were rejected. The first: Field 'event_name' is required."
	if want := bytesField(1, varint(1, 1)+bytesField(2, message)); string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	b.Commands, b.Results = b.Commands[:2], b.Results[:2]
	if _, got, _ := jsonResults(b, received); string(got) != "{}" {
		t.Errorf("got %s", got)
	}
	if _, got, _ := protoResults(b, received); len(got) != 0 {
		t.Errorf("got %q", got)
	}
	status, body := jsonRefusal(401, &trackway.Error{Code: trackway.Unidentified, Msg: "Access key not found"})
	if status != 401 || string(body) != `{"code":16,"message":"Access key not found"}` {
		t.Errorf("got %d %s", status, body)
	}
	status, body = protoRefusal(500, &trackway.Error{Code: trackway.Internal, Msg: "No."})
	if status != 503 || string(body) != varint(1, 13)+bytesField(2, "No.") {
		t.Errorf("got %d %q", status, body)
	}
}

// FuzzProto checks that any body is decoded without a panic, that the resulting
// JSON is canonical, and that values stay within their bounds.
func FuzzProto(f *testing.F) {
	f.Add(sample.proto)
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := decodeProto(shop, body, received); err == nil {
			check(t, b)
		}
	})
}

func FuzzJSON(f *testing.F) {
	f.Add([]byte(sample.json))
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := decodeJSON(shop, body, received); err == nil {
			check(t, b)
		}
	})
}

func check(t *testing.T, b *format.Batch) {
	t.Helper()
	for i := range b.Commands {
		c := &b.Commands[i]
		if b.Results[i].Err != nil {
			continue
		}
		object := canonjson.AppendObject(nil, c.Properties)
		d := canonjson.Decode(object)
		again, problem := d.Properties()
		if d.End(); d.Bad() || problem.Fault != canonjson.None && problem.Fault != canonjson.TooDeep {
			t.Fatalf("%q: %+v", object, problem)
		}
		if problem.Fault == canonjson.None && string(canonjson.AppendObject(nil, again)) != string(object) {
			t.Fatalf("%q is not canonical", object)
		}
	}
}
