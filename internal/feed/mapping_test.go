package feed

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMapping(t *testing.T) {
	t.Parallel()
	ids := map[string]string{"customer_ids.registered": "email"}
	with := func(more ...string) map[string]string {
		m := maps.Clone(ids)
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	tests := map[string]struct {
		mapping Mapping
		file    string // a header and a row
		want    string // the command's data
		refused string // field and reason
	}{
		"customers": {
			mapping: Mapping{Map: with("properties.plan", "plan")}, file: "email,plan,other\njane,pro,x",
			want: `{"customer_ids":{"registered":"jane"},"properties":{"plan":"pro"}}`,
		},
		"empty cells": {
			mapping: Mapping{Map: with("properties.plan", "plan", "update_timestamp", "ts")}, file: "email,plan,ts\n,,",
			want: `{"customer_ids":{},"properties":{}}`,
		},
		"numbers and texts": {
			mapping: Mapping{Map: with("properties.a", "a", "properties.b", "b", "properties.c", "c"), String: []string{"c"}},
			file:    "email,a,b,c\n7,1.50,007,8", want: `{"customer_ids":{"registered":"7"},"properties":{"a":1.50,"b":"007","c":"8"}}`,
		},
		"events of a column": {
			mapping: Mapping{Map: with("event_type", "what", "timestamp", "ts")}, file: "email,what,ts\njane,\"Order \"\"1\"\"\",1700000000.25",
			want: `{"customer_ids":{"registered":"jane"},"event_type":"Order \"1\"","timestamp":1700000000.25,"properties":{}}`,
		},
		"events of one type": {
			mapping: Mapping{Map: with("timestamp", "ts"), EventType: "visit"}, file: "email,ts\njane,2026-01-01 10:00:00",
			want: `{"customer_ids":{"registered":"jane"},"event_type":"visit","timestamp":"2026-01-01 10:00:00","properties":{}}`,
		},
		"an event without its time": {
			mapping: Mapping{Map: with("timestamp", "ts"), EventType: "visit"}, file: "email,ts\njane, ",
			refused: "timestamp: Field 'timestamp': the cell is empty.",
		},
		"by its names": {
			file: "customer,customer_ids.cookie,event_type,properties,properties.x\n1,\"[\"\"a\"\",\"\"b\"\"]\",e,\"{ \"\"y\"\" :\n[1]}\",2",
			want: `{"customer_ids":{"cookie":["a","b"]},"event_type":"e","properties":{"y" : [1],"x":2}}`,
		},
		"an id that looks like several": {mapping: Mapping{Map: ids}, file: "email\n[jane", want: `{"customer_ids":{"registered":"[jane"},"properties":{}}`},
		"JSON": {
			mapping: Mapping{Map: with("properties.tags", "tags"), JSON: []string{"tags"}}, file: "email,tags\njane,\"[1, \"\"x\"\"]\"",
			want: `{"customer_ids":{"registered":"jane"},"properties":{"tags":[1, "x"]}}`,
		},
		"no JSON": {
			mapping: Mapping{Map: with("properties.tags", "tags"), JSON: []string{"tags"}}, file: "email,tags\njane,[1",
			refused: "properties.tags: Field 'properties.tags': the cell is not JSON.",
		},
		"no object":       {file: "customer_ids.c,properties\nx,[1]", refused: "properties: Field 'properties': the cell is not a JSON object."},
		"an empty object": {file: "customer_ids.c,properties,properties.a\nx,{ },1", want: `{"customer_ids":{"c":"x"},"properties":{"a":1}}`},
		"guarded from spreadsheets": {
			mapping: Mapping{Map: with("properties.phone", "phone", "properties.nick", "nick")}, file: "email,phone,nick\n'=jane,'+49 30,'tis",
			want: `{"customer_ids":{"registered":"=jane"},"properties":{"nick":"'tis","phone":"+49 30"}}`,
		},
		"Latin-1": {mapping: Mapping{Map: ids}, file: "email,other\nj\xe4ne,", refused: "email: The cell is not UTF-8."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := csv.NewReader(strings.NewReader(test.file)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			c, err := test.mapping.columns(rows[0], ",")
			if err != nil {
				t.Fatal(err)
			}
			got, refused := c.command(rows[1])
			if refused != nil {
				if text := refused.Field + ": " + refused.Error; text != test.refused {
					t.Errorf("got %q, want %q", text, test.refused)
				}
				return
			}
			if bytes.ContainsAny(got, "\r\n") {
				t.Errorf("more than a line: %q", got)
			}
			var command struct {
				Name string
				Data json.RawMessage
			}
			if err := json.Unmarshal(got, &command); err != nil {
				t.Fatalf("%v: %s", err, got)
			}
			if diff := cmp.Diff(test.want, string(command.Data)); diff != "" {
				t.Error(diff)
			}
			if want := map[bool]string{true: "customers/events", false: "customers"}[strings.Contains(test.want, "event_type")]; command.Name != want {
				t.Errorf("got %s, want %s", command.Name, want)
			}
		})
	}
}

func TestWrongMapping(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		mapping Mapping
		want    string
	}{
		"no target":                 {Mapping{Map: map[string]string{"customer_id": "a"}}, `"customer_id" is no target`},
		"a target without a name":   {Mapping{Map: map[string]string{"properties.": "a"}}, `"properties." is no target`},
		"no column":                 {Mapping{Map: map[string]string{"customer_ids.x": "c"}}, `no column "c", only "a", "b"`},
		"nobody's rows":             {Mapping{Map: map[string]string{"properties.x": "a"}}, "whose row"},
		"nothing":                   {Mapping{}, "whose row"},
		"no column of texts":        {Mapping{Map: map[string]string{"customer_ids.x": "a"}, String: []string{"c"}}, `no column "c"`},
		"no column of JSON":         {Mapping{Map: map[string]string{"customer_ids.x": "a"}, JSON: []string{"c"}}, `no column "c"`},
		"customers with an event's": {Mapping{Map: map[string]string{"customer_ids.x": "a", "timestamp": "b"}}, "no timestamp, but update_timestamp"},
		"events with a customer's":  {Mapping{Map: map[string]string{"customer_ids.x": "a", "update_timestamp": "b"}, EventType: "e"}, "no update_timestamp, but timestamp"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := test.mapping.columns([]string{"a", "b"}, ","); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestLoadMapping(t *testing.T) {
	t.Parallel()
	want := Mapping{
		Map: map[string]string{"customer_ids.registered": "e-mail", "timestamp": "at"}, EventType: "visit",
		String: []string{"zip"}, JSON: []string{"tags"}, Delimiter: ";",
	}
	for name, text := range map[string]string{
		"m.yaml": "map:\n  customer_ids.registered: e-mail\n  timestamp: at\nevent_type: visit\nstring: [zip]\njson: [tags]\ndelimiter: \";\"\n",
		"m.json": `{"map":{"customer_ids.registered":"e-mail","timestamp":"at"},"event_type":"visit","string":["zip"],"json":["tags"],"delimiter":";"}`,
	} {
		got, err := LoadMapping(write(t, name, text))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
	for _, bad := range []string{"maps: {}", "map: [a]", "map: {"} {
		if _, err := LoadMapping(write(t, "m.yaml", bad)); err == nil {
			t.Errorf("%s: got no error", bad)
		}
	}
}

func TestIsNumber(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]bool{
		"0": true, "-0": true, "7": true, "-1.50": true, "0.1": true, "123456789012345": true, "1.12345678901234567": true, "1700000000.123456": true,
		"0." + strings.Repeat("3", 63): true, "-1." + strings.Repeat("3", 63): true, "0." + strings.Repeat("3", 64): false,
		"": false, "-": false, ".5": false, "5.": false, "007": false, "+49": false, "1e5": false, "0x1": false, "1,5": false, " 1": false,
		"NaN": false, "1234567890123456": false, "４": false, "1.2.3": false,
	} {
		if got := isNumber(cell); got != want {
			t.Errorf("%q: got %v, want %v", cell, got, want)
		}
		if want && !json.Valid([]byte(cell)) {
			t.Errorf("%q is no number in JSON", cell)
		}
	}
}

// TestBrokenSheet: an error in a whole row names its line, and the rows after
// it are read.
func TestBrokenSheet(t *testing.T) {
	t.Parallel()
	f := newServer(t)
	path := write(t, "rows.csv", "customer_ids.c,event_type\nx,1\nshort\n\nx,2,3\n\"x\ny\",bad\nx,\"a\"b\nx,4\n")
	r := mustFile(t, path, Options{Post: f.post})
	if diff := cmp.Diff([]string{"1", "4"}, f.types()); diff != "" {
		t.Error(diff)
	}
	want := []rejected{
		{3, "", "The row has 1 cells, the first one has 2.", json.RawMessage(`["short"]`), nil},
		{5, "", "The row has 3 cells, the first one has 2.", json.RawMessage(`["x","2","3"]`), nil},
		{6, "event_type", "Bad.", json.RawMessage(`{"customer_ids.c":"x\ny","event_type":"bad"}`), nil},
		{8, "", "The row is not valid CSV: a cell has text after its closing quote.", json.RawMessage(`"x,\"a\"b"`), nil},
	}
	if diff := cmp.Diff(want, rejectsOf(t, r.Rejects)); diff != "" {
		t.Error(diff)
	}
	if r.Totals.Lines != 9 {
		t.Errorf("got %d lines, want 9", r.Totals.Lines)
	}
}

func TestDelimiters(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"rows.tsv": {}, "rows.csv": {Mapping: Mapping{Delimiter: "\t"}}, "rows.txt": {Format: CSV, Mapping: Mapping{Delimiter: "\t"}},
	} {
		f := newServer(t)
		o.Post = f.post
		mustFile(t, write(t, name, "customer_ids.c\tevent_type\nx\ta,b\n"), o)
		if diff := cmp.Diff([]string{"a,b"}, f.types()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := File(t.Context(), write(t, "rows.csv", ""), Options{Post: newServer(t).post}); err == nil {
		t.Error("a file without a header: got no error")
	}
}
