package tracking

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

func TestDecodeQueries(t *testing.T) {
	t.Parallel()
	jane := []trackway.Identifier{{Name: "cookie", Value: "c"}, {Name: "registered", Value: "7"}}
	const janeText = `"customer_ids":{"registered":7,"cookie":["c"]}`
	check := func(body string, want, got any, err *trackway.Error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: got error %q", body, Text(err))
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got\n%s", body, diff)
		}
	}

	body := `{` + janeText + `}`
	ids, err := DecodeCustomer([]byte(body))
	check(body, jane, ids, err)

	body = `{"customers":[{` + janeText + `},{"customer_ids":{"cookie":"d"}}]}`
	customers, err := DecodeCustomers([]byte(body))
	check(body, [][]trackway.Identifier{jane, {{Name: "cookie", Value: "d"}}}, customers, err)

	for body, want := range map[string]EventsQuery{
		`{` + janeText + `,"event_types":["b","\u0061"]}`:                                   {IDs: jane, Types: []string{"b", "a"}},
		`{` + janeText + `,"event_types":["x"],"order":"desc","limit":1,"skip":0}`:          {IDs: jane, Types: []string{"x"}, Descending: true, Limit: 1},
		`{` + janeText + `,"event_types":["x"],"order":"asc","limit":2147483647,"skip":10}`: {IDs: jane, Types: []string{"x"}, Limit: 2147483647, Skip: 10},
		`{` + janeText + `,"event_types":7,"event_types":["x"],"order":null,"limit":null}`:  {IDs: jane, Types: []string{"x"}},
	} {
		events, err := DecodeEvents([]byte(body))
		check(body, want, events, err)
	}

	columns := []Attribute{{Type: "property", Name: "p"}, {Type: "id", Name: "i"}}
	const columnsText = `"attributes":[{"type":"property","property":"p","id":"x"},{"id":"i","type":"id"}`
	body = `{` + janeText + `,` + columnsText + `,{"type":"segmentation","id":"s"},{"type":"consent","category":"c","id":"x"}]}`
	ids, attributes, err := DecodeAttributes([]byte(body))
	check(body, jane, ids, err)
	check(body, append(columns, Attribute{Type: "segmentation"}, Attribute{Type: "consent", Name: "c"}), attributes, err)

	for body, want := range map[string][]Attribute{
		`{"format":"native_json"}`: nil,
		`{"format":"native_json","attributes":[],"filter":"all","raw":true}`: nil,
		`{"format":"native_json","raw":null}`:                                nil,
		`{"format":"native_json","raw":false}`:                               nil,
		`{"format":"native_json",` + columnsText + `],"filter":null}`:        columns,
	} {
		format, raw, attributes, err := DecodeExport([]byte(body))
		check(body, "native_json", format, err)
		check(body, !strings.Contains(body, `"raw":false`), raw, err)
		check(body, want, attributes, err)
	}
}

func TestDecodeQueryErrors(t *testing.T) {
	t.Parallel()
	customer := func(b []byte) *trackway.Error { _, err := DecodeCustomer(b); return err }
	customers := func(b []byte) *trackway.Error { _, err := DecodeCustomers(b); return err }
	events := func(b []byte) *trackway.Error { _, err := DecodeEvents(b); return err }
	attributes := func(b []byte) *trackway.Error { _, _, err := DecodeAttributes(b); return err }
	export := func(b []byte) *trackway.Error { _, _, _, err := DecodeExport(b); return err }
	const id = `"customer_ids":{"a":"b"},`
	many := func(n int, element string) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	tests := []struct {
		decode           func([]byte) *trackway.Error
		body, field, msg string
	}{
		{customer, `x`, "", "Invalid JSON"},
		{customer, `[]`, "", "Invalid JSON"},
		{customer, `{"customer_ids":{"a":"b"}}}`, "", "Invalid JSON"},
		{customer, `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 99_999) + `}`, "", "Invalid JSON"},
		{customer, `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "customer_ids", "Must specify at least one customer ID"},
		{customer, `{}`, "customer_ids", "Must specify at least one customer ID"},
		{customer, `{"customer_ids":null}`, "customer_ids", "Must specify at least one customer ID"},
		{customer, `{"customer_ids":{"a":"\ud83d"}}`, "customer_ids.a", `Field 'customer_ids.a': expected text, got half a surrogate pair (\ud800 to \udfff).`},
		{customer, `{"customer_ids":[]}`, "customer_ids", "Field 'customer_ids': expected an object, got an array."},
		{customer, `{"customer_ids":{"a":true}}`, "customer_ids.a", "Field 'customer_ids.a': expected a string, a number or an array of these, got true."},
		{customers, `{`, "", "Invalid JSON"},
		{customers, `{}`, "customers", "Field 'customers' is required."},
		{customers, `{"customers":[]}`, "customers", "Field 'customers' is empty: expected at least one element."},
		{customers, `{"customers":{}}`, "customers", "Field 'customers': expected an array, got an object."},
		{customers, `{"customers":[{` + id + `"x":1},7]}`, "customers", "Field 'customers': expected an object as each element of the array, got a number."},
		{customers, `{"customers":[{` + id + `"x":1},{}]}`, "customer_ids", "Must specify at least one customer ID"},
		{customers, `{"customers":[` + many(1001, `{`+id+`"x":1}`) + `]}`, "customers", "Field 'customers': at most 1000 elements."},
		{events, `{"event_types":["x"]}`, "customer_ids", "Must specify at least one customer ID"},
		{events, `{` + id + `"x":1}`, "event_types", "Field 'event_types' is required."},
		{events, `{` + id + `"event_types":[]}`, "event_types", "Field 'event_types' is empty: expected at least one element."},
		{events, `{` + id + `"event_types":"x"}`, "event_types", "Field 'event_types': expected an array, got a string."},
		{events, `{` + id + `"event_types":["x",null]}`, "event_types", "Field 'event_types': expected a string as each element of the array, got null."},
		{events, `{` + id + `"event_types":["x"],"order":"up"}`, "order", "Field 'order': expected asc or desc."},
		{events, `{` + id + `"event_types":["x"],"order":1}`, "order", "Field 'order': expected asc or desc."},
		{events, `{` + id + `"event_types":["x"],"limit":0}`, "limit", "Field 'limit': expected a whole number of at least 1."},
		{events, `{` + id + `"event_types":["x"],"limit":1.5}`, "limit", "Field 'limit': expected a whole number of at least 1."},
		{events, `{` + id + `"event_types":["x"],"limit":"5"}`, "limit", "Field 'limit': expected a whole number of at least 1."},
		{events, `{` + id + `"event_types":["x"],"limit":2147483648}`, "limit", "Field 'limit': expected a whole number of at least 1."},
		{events, `{` + id + `"event_types":["x"],"skip":-1}`, "skip", "Field 'skip': expected a whole number of at least 0."},
		{attributes, `{"attributes":[{"type":"id","id":"x"}]}`, "customer_ids", "Must specify at least one customer ID"},
		{customers, `{"customers":null}`, "customers", "Field 'customers' is required."},
		{events, `{` + id + `"event_types":null}`, "event_types", "Field 'event_types' is required."},
		{attributes, `{` + id + `"attributes":[]}`, "attributes", "Field 'attributes' is empty: expected at least one element."},
		{attributes, `{` + id + `"attributes":null}`, "attributes", "Field 'attributes' is required."},
		{attributes, `{` + id + `"attributes":["x"]}`, "attributes", "Field 'attributes': expected an object as each element of the array, got a string."},
		{attributes, `{` + id + `"attributes":[{"type":"property","id":"x"}]}`, "attributes", "Field 'attributes': each needs a type, and a name under property, id or category."},
		{attributes, `{` + id + `"attributes":[{"id":"x"}]}`, "attributes", "Field 'attributes': each needs a type, and a name under property, id or category."},
		{export, `{"format":"csv","raw":1}`, "raw", "Field 'raw': expected true or false."},
		{
			export, `{"format":"csv","attributes":[{"type":"id","id":"a"},{"type":"property","property":"a"},{"type":"id","id":"a"}]}`,
			"attributes", "Field 'attributes': expected each column once, got the id 'a' twice.",
		},
		{export, `{}`, "format", "Field 'format' is required."},
		{export, `{"format":"xml"}`, "format", "Field 'format': expected csv, table_json or native_json."},
		{export, `{"format":"csv","filter":"some"}`, "filter", "Field 'filter': expected all."},
		{export, `{"format":"csv","filter":{}}`, "filter", "Field 'filter': expected all."},
		{export, `{"format":"csv","attributes":[{"type":"consent","category":"c"}]}`, "attributes", "Field 'attributes': expected attributes of type property or id."},
		{export, `{"format":"csv","attributes":[` + many(1001, `{"type":"id","id":"x"}`) + `]}`, "attributes", "Field 'attributes': at most 1000 elements."},
	}
	for _, test := range tests {
		want := &trackway.Error{Code: trackway.Invalid, Field: test.field, Msg: test.msg}
		if diff := cmp.Diff(want, told(test.decode([]byte(test.body)))); diff != "" {
			t.Errorf("%.80s: -want +got\n%s", test.body, diff)
		}
	}
	if err := customers([]byte(`{"customers":[` + many(1000, `{`+id+`"x":1}`) + `]}`)); err != nil {
		t.Errorf("1000 customers: got error %q", Text(err))
	}
}
