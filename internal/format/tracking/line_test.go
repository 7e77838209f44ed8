package tracking

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

func TestDecodeLine(t *testing.T) {
	t.Parallel()
	ids := []trackway.Identifier{{Name: "registered", Value: "x"}}
	tests := map[string]struct {
		line string
		want item
	}{
		"event": {
			line: ` {"data":{"customer_ids":{"registered":"x"},"event_type":"visit","timestamp":1.5},"name":"customers/events","more":[1]}`,
			want: item{Command: trackway.Command{
				Kind: trackway.AddEvent, IDs: ids, Type: "visit", Time: 1_500_000, TimeGiven: true, Received: 7, Bytes: 7,
			}},
		},
		"update": {
			line: `{"name":"customers","data":{"customer_ids":{"registered":"x"}}}`,
			want: item{Command: trackway.Command{Kind: trackway.UpdateCustomer, IDs: ids, Time: 7, Received: 7, Bytes: 2}},
		},
		"time":            {line: `{"name":"system/time"}`, want: item{Time: true}},
		"no JSON":         {line: `{"name":"customers"`, want: item{Err: errJSON}},
		"no object":       {line: `[]`, want: item{Err: errJSON}},
		"two values":      {line: `{"name":"system/time"} {}`, want: item{Err: errJSON}},
		"empty":           {line: ``, want: item{Err: errJSON}},
		"no name":         {line: `{}`, want: item{Err: value.Required("name")}},
		"a wrong field":   {line: `{"name":"customers","data":{"properties":[]}}`, want: item{Err: value.Unexpected("properties", "an object", canonjson.Array)}},
		"unknown command": {line: `{"name":"consents"}`, want: item{Err: checkName("consents")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, decodeLine(test.line)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func decodeLine(line string) item {
	c, err := DecodeLine([]byte(line), 7)
	return item{Command: c, Err: err, Time: err == nil && c.Kind == trackway.Nothing}
}
