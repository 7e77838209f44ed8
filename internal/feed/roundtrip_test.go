package feed

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/api/table"
	"trackway/internal/canonjson"
	"trackway/internal/export"
	"trackway/internal/format/tracking"
)

// anyText is a text that may be in an identifier, a type or a property, and
// that a CSV file is likely to change.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.StringN(1, 20, 60), rapid.StringMatching(`[-+=@'"a0-9 .,;\[\]\n\t\r]{0,6}x?`))
}

// anyName is a text that can name somebody: it has no white space around it.
func anyName() *rapid.Generator[string] {
	return rapid.Map(anyText(), func(s string) string { return strings.TrimSpace(s + "x") })
}

// imported returns the commands that the rows of a file become.
func imported(t *rapid.T, text []byte, m Mapping) (commands []trackway.Command) {
	s := newSheet(bytes.NewReader(text), ",")
	if err := s.open(&m, false); err != nil {
		t.Fatal(err)
	}
	for {
		rec, err := s.next()
		if errors.Is(err, io.EOF) {
			return commands
		} else if err != nil {
			t.Fatal(err)
		}
		if rec.refused != nil {
			t.Fatalf("%q: %+v", text, rec.refused)
		}
		c, refused := tracking.DecodeLine(bytes.Clone(rec.command), 1)
		if refused != nil {
			t.Fatalf("%q, %s: %v", text, rec.command, refused)
		}
		commands = append(commands, c)
	}
}

// Exporting events as CSV and importing them again yields the same events.
func TestExportedEventsComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		who, what, value := anyName().Draw(t, "id"), anyName().Draw(t, "type"), anyText().Draw(t, "value")
		p := &trackway.Project{Name: "shop", Hard: []string{"registered"}, Soft: []string{"cookie"}}
		of := &trackway.Profile{IDs: []trackway.Identifier{{Name: "registered", Value: who, Hard: true}}}
		var file bytes.Buffer
		out, err := export.New(export.CSV, &file, p, export.Filter{Events: true})
		if err != nil {
			t.Fatal(err)
		}
		value = string(canonjson.AppendString(nil, value))
		properties := []byte(`{"a":` + value + `}`)
		if err := out.Event(of, &trackway.Event{Type: what, Time: 1, Properties: properties}); err != nil {
			t.Fatal(err)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
		got := imported(t, file.Bytes(), Mapping{})
		if len(got) != 1 || len(got[0].IDs) != 1 || len(got[0].Properties) != 1 || got[0].Time != 1 {
			t.Fatalf("%q: got %+v", file.String(), got)
		}
		if diff := cmp.Diff([]string{who, what, value}, []string{got[0].IDs[0].Value, got[0].Type, string(got[0].Properties[0].Value)}); diff != "" {
			t.Fatalf("%q: %s", file.String(), diff)
		}
	})
}

// The same holds for a table of the data API with columns of similar names, raw
// or not.
func TestTablesComeBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		who := anyName().Filter(func(s string) bool { return s[0] != '[' }).Draw(t, "id")
		value := anyText().Filter(func(s string) bool { return s != "" }).Draw(t, "value")
		raw := rapid.Bool().Draw(t, "raw")
		p := &trackway.Profile{
			IDs: []trackway.Identifier{{Name: "registered", Value: who, Hard: true}},
			Properties: []trackway.DatedProperty{
				{Property: trackway.Property{Name: "registered", Value: canonjson.AppendString(nil, value)}},
			},
		}
		out := table.New("csv", raw, []tracking.Attribute{
			{Type: tracking.PropertyAttribute, Name: "registered"}, {Type: tracking.IDAttribute, Name: "registered"},
		})
		file := out.AppendRow(out.AppendHead(nil), p)
		got := imported(t, file, Mapping{
			Map:    map[string]string{"customer_ids.registered": "registered", "properties.registered": "properties.registered"},
			String: []string{"properties.registered"}, Raw: raw,
		})
		if len(got) != 1 {
			t.Fatalf("%q: got %+v", file, got)
		}
		want := []string{who, string(canonjson.AppendString(nil, value))}
		if diff := cmp.Diff(want, []string{got[0].IDs[0].Value, string(got[0].Properties[0].Value)}); diff != "" {
			t.Fatalf("%q: %s", file, diff)
		}
	})
}
