package tracking

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
)

func TestDecodeLine(t *testing.T) {
	t.Parallel()
	ids := []trackway.Identifier{{Name: "registered", Value: "x"}}
	tests := map[string]struct {
		line string
		want Item
	}{
		"event": {
			line: ` {"data":{"customer_ids":{"registered":"x"},"event_type":"visit","timestamp":1.5},"name":"customers/events","more":[1]}`,
			want: Item{Name: Events, Command: trackway.Command{
				Kind: trackway.AddEvent, IDs: ids, Type: "visit", Time: 1_500_000, TimeGiven: true, Received: 7, Bytes: 7,
			}},
		},
		"update": {
			line: `{"name":"customers","data":{"customer_ids":{"registered":"x"}}}`,
			want: Item{Name: Customers, Command: trackway.Command{Kind: trackway.UpdateCustomer, IDs: ids, Time: 7, Received: 7, Bytes: 2}},
		},
		"time":            {line: `{"name":"system/time"}`, want: Item{Name: systemTime, Time: true}},
		"no JSON":         {line: `{"name":"customers"`, want: Item{Err: errJSON}},
		"no object":       {line: `[]`, want: Item{Err: errJSON}},
		"two values":      {line: `{"name":"system/time"} {}`, want: Item{Err: errJSON}},
		"empty":           {line: ``, want: Item{Err: errJSON}},
		"no name":         {line: `{}`, want: Item{Err: required("name")}},
		"a wrong field":   {line: `{"name":"customers","data":{"properties":[]}}`, want: Item{Name: Customers, Err: unexpected("properties", "an object", canonjson.Array)}},
		"unknown command": {line: `{"name":"consents"}`, want: Item{Name: "consents", Err: checkName("consents")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, DecodeLine([]byte(test.line), 7)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
