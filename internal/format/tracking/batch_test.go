package tracking

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/format/value"
)

func TestDecodeBatch(t *testing.T) {
	t.Parallel()
	items, err := decodeItems([]byte(`{"extra": [1], "commands": [
		{"name": "customers/events", "data": {"customer_ids": {"registered": "t"}, "timestamp": null, "properties": {"p": 1}, "event_type": "x"}},
		{"data": {"customer_ids": {"registered": ["\u0074"]}, "update_timestamp": 1681484247}, "command_id": "a\u0062c", "name": "customers"},
		{"name": "campaigns/clicks", "data": {"url": "u"}, "command_id": 1.50},
		{"name": "system/time", "data": [], "extra": {}, "command_id": null},
		{"name": "customers/no_such_command", "command_id": "z", "data": {"customer_ids": true}},
		{"name": "customers", "data": []},
		{"name": "customers", "data": {"properties": []}, "data": {"customer_ids": {"a": "b"}}},
		{"name": "customers"},
		{"name": 7}, {}, {"name": "customers", "data": {"timestamp": "x"}, "command_id": {"a": [ ]}}
	]}`))
	if err != nil {
		t.Fatal(err)
	}
	type seen struct {
		kind trackway.Kind
		decoded
		id   string
		time bool
		err  string
	}
	var got []seen
	for _, it := range items {
		one := seen{kind: it.Command.Kind, decoded: decodedOf(it.Command), id: string(it.CommandID), time: it.Time}
		if it.Err != nil {
			one.err = it.Err.Field + ": " + Text(it.Err)
		}
		got = append(got, one)
	}
	none := decoded{properties: `{}`}
	want := []seen{
		{kind: trackway.AddEvent, decoded: decoded{ids: "registered=t", properties: `{"p":1}`, typ: "x", at: received}},
		{kind: trackway.UpdateCustomer, decoded: decoded{ids: "registered=t", properties: `{}`, at: 1_681_484_247_000_000, given: true}, id: `"a\u0062c"`},
		{kind: trackway.AddEvent, decoded: decoded{properties: `{"url":"u"}`, typ: "campaign_click", at: received, anonymous: true}, id: `1.50`},
		{decoded: none, time: true, id: `null`},
		{decoded: none, id: `"z"`, err: "name: Unknown command 'customers/no_such_command': known are customers, customers/events, campaigns/clicks and, in a batch, system/time."},
		{decoded: none, err: "data: Field 'data': expected an object, got an array."},
		{kind: trackway.UpdateCustomer, decoded: decoded{ids: "a=b", properties: `{}`, at: received}},
		{kind: trackway.UpdateCustomer, decoded: decoded{properties: `{}`, at: received}},
		{decoded: none, err: "name: Field 'name': expected a string, got a number."},
		{decoded: none, err: "name: Field 'name' is required."},
		{decoded: none, id: `{"a": [ ]}`, err: "timestamp: Field 'timestamp': expected " + value.ATime + "."},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(seen{}, decoded{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if want := len("x") + len(`{"p": 1}`); items[0].Command.Bytes != want {
		t.Errorf("got %d bytes, want %d", items[0].Command.Bytes, want)
	}
}

// Commands of one batch share memory. None may see another's part of it, even
// if its slices are appended to.
func TestDecodeBatchKeepsCommandsApart(t *testing.T) {
	t.Parallel()
	var commands []string
	for i := range trackway.MaxCommands {
		commands = append(commands, fmt.Sprintf(`{"name":"customers","data":{"customer_ids":{"b":["%d"],"a":%d},"properties":{"z":"\u0030%d","b":[1, %d],"a":%d}}}`, i, i, i, i, i))
	}
	items, err := decodeItems([]byte(`{"commands":[` + strings.Join(commands, ",") + `]}`))
	if err != nil || len(items) != trackway.MaxCommands {
		t.Fatalf("got %d items, error %v", len(items), err)
	}
	for _, it := range items {
		_ = append(it.Command.IDs, trackway.Identifier{Name: "!"})
		_ = append(it.Command.Properties, trackway.Property{Name: "!"})
		for _, p := range it.Command.Properties {
			_ = append(p.Value, '!')
		}
	}
	for i, it := range items {
		want := decoded{ids: fmt.Sprintf("a=%d b=%d", i, i), properties: fmt.Sprintf(`{"a":%d,"b":[1,%d],"z":"0%d"}`, i, i, i), at: received}
		if got := decodedOf(it.Command); got != want {
			t.Errorf("command %d: got %+v, want %+v", i, got, want)
		}
	}
}

// TestDecodeBatchAgain: a batch that uses the memory of released ones, also of
// refused and of larger ones, is as any other.
func TestDecodeBatchAgain(t *testing.T) {
	t.Parallel()
	for i := range 100 {
		if _, err := DecodeBatch([]byte(`{"commands":[{"name":"customers","data":{"properties":{"old":1}}},0]}`), received); err == nil {
			t.Fatal("it was not refused")
		}
		n := 1 + i*7%trackway.MaxCommands
		command := fmt.Sprintf(`{"name":"customers","data":{"customer_ids":{"a":"x"},"properties":{"b":%d,"a":1}}}`, i)
		b, err := DecodeBatch([]byte(`{"commands":[`+strings.Repeat(command+",", n-1)+command+`]}`), received)
		if err != nil || len(b.Commands) != n {
			t.Fatalf("%d commands: got %+v, %v", n, b, err)
		}
		want := decoded{ids: "a=x", properties: fmt.Sprintf(`{"a":1,"b":%d}`, i), at: received}
		for _, it := range itemsOf(b) {
			if got := decodedOf(it.Command); got != want || it.Err != nil || it.CommandID != nil || it.Name != Customers {
				t.Fatalf("got %+v, %v, want %+v", got, it, want)
			}
		}
		b.Release()
	}
}

func TestDecodeBatchFailures(t *testing.T) {
	t.Parallel()
	many := func(n int) string {
		return `{"commands":[` + strings.TrimSuffix(strings.Repeat(`{"name":"system/time"},`, n), ",") + `]}`
	}
	tests := []struct{ body, msg string }{
		{``, "Invalid JSON"},
		{`not json`, "Invalid JSON"},
		{`[]`, "Invalid JSON"},
		{`{"commands":[1, {"name": "system/time"}]}`, "Invalid JSON"},
		{`{"commands":[{"name":"system/time"}, null]}`, "Invalid JSON"},
		{`{"commands":[{"name":"customers","data":{"age":x}}]}`, "Invalid JSON"},
		{`{"commands":[{"name":"system/time"}]`, "Invalid JSON"},
		{`{"commands":[{"name":"system/time"}]} x`, "Invalid JSON"},
		{`{"commands":[{"name":"system/time","data":{"a":01}}]}`, "Invalid JSON"},
		{`{"commands":[` + strings.Repeat("{},", 60) + `7]}`, "Invalid JSON"},
		{`{}`, "No commands"},
		{`{"commands":null}`, "No commands"},
		{`{"commands":[]}`, "No commands"},
		{`{"commands":[{"name":"system/time"}],"commands":[]}`, "No commands"},
		{`{"commands":7}`, "Field 'commands': expected an array, got a number."},
		{`{"commands":{}}`, "Field 'commands': expected an array, got an object."},
		{many(51), "Too many commands: 51, at most 50"},
		{many(1000), "Too many commands: 1000, at most 50"},
		{`{"commands":[` + strings.Repeat("[", 100_000), "Invalid JSON"},
		{`{"commands":[{}],"x":` + strings.Repeat(`{"a":`, 100_000) + "}", "Invalid JSON"},
	}
	for _, test := range tests {
		if items, err := decodeItems([]byte(test.body)); err == nil || Text(err) != test.msg || err.Code != trackway.Invalid || err.Field != "" || items != nil {
			t.Errorf("%.60s: got %d items, error %v; want %q", test.body, len(items), err, test.msg)
		}
	}
	for _, body := range []string{many(50), `{"commands":[1],"commands":[{"name":"system/time"}]}`} {
		if items, err := decodeItems([]byte(body)); err != nil || !items[0].Time {
			t.Errorf("%.60s: got error %v", body, err)
		}
	}
}
