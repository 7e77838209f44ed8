package table

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/tracking"
)

func id(name string) tracking.Attribute {
	return tracking.Attribute{Type: tracking.IDAttribute, Name: name}
}

func property(name string) tracking.Attribute {
	return tracking.Attribute{Type: tracking.PropertyAttribute, Name: name}
}

func dated(name, value string) trackway.DatedProperty {
	return trackway.DatedProperty{Property: trackway.Property{Name: name, Value: []byte(value)}}
}

// tableOf writes a customer in a format.
func tableOf(format string, raw bool, columns []tracking.Attribute, p *trackway.Profile) string {
	t := New(format, raw, columns)
	return string(t.AppendEnd(t.AppendRow(t.AppendHead(nil), p)))
}

// A property with the name of an identifier gets another name in every format
// that does not show the type.
func TestNoNameTwice(t *testing.T) {
	t.Parallel()
	columns := []tracking.Attribute{property("cookie"), id("registered"), id("cookie"), property("plan"), property("registered"), property("properties.cookie")}
	p := &trackway.Profile{
		IDs: []trackway.Identifier{{Name: "registered", Value: "jane", Hard: true}},
		Properties: []trackway.DatedProperty{
			dated("cookie", "1"), dated("plan", "2"), dated("properties.cookie", "3"), dated("registered", "4"),
		},
	}
	const names = "properties.properties.cookie,registered,cookie,plan,properties.registered,properties.cookie"
	if got, want := tableOf("csv", true, columns, p), names+"\r\n1,jane,,2,4,3\r\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	want := `{"success":true,"header":["` + strings.ReplaceAll(names, ",", `","`) + `"],"rows":[[1,"jane",null,2,4,3]]}`
	if got := tableOf("table_json", true, columns, p); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := tableOf("native_json", true, columns, p); !strings.Contains(got, `[{"property":"cookie","type":"property"},{"id":"registered","type":"id"}`) {
		t.Errorf("got %s", got)
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		column := rapid.Custom(func(t *rapid.T) tracking.Attribute {
			name := rapid.StringMatching(`(properties\.){0,3}[ab]?`).Draw(t, "name")
			return tracking.Attribute{Type: rapid.SampledFrom([]string{tracking.IDAttribute, tracking.PropertyAttribute}).Draw(t, "type"), Name: name}
		})
		columns := rapid.SliceOfDistinct(column, func(a tracking.Attribute) tracking.Attribute { return a }).Draw(t, "columns")
		names := namesOf(columns)
		slices.Sort(names)
		if got := slices.Compact(slices.Clone(names)); len(got) != len(columns) {
			t.Fatalf("got %q for %q", names, columns)
		}
	})
}

// TestRawTextsAreKept: a raw table holds exactly the texts that were stored.
func TestRawTextsAreKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[-+=@'"a0-9 .,\n\t]{0,6}`))
		want := []string{text.Draw(t, "a"), text.Draw(t, "b")}
		value := func(s string) string { return string(canonjson.AppendString(nil, s)) }
		p := &trackway.Profile{Properties: []trackway.DatedProperty{dated("a", value(want[0])), dated("b", value(want[1]))}}
		file := tableOf("csv", true, []tracking.Attribute{property("a"), property("b")}, p)
		got, err := csv.NewReader(strings.NewReader(file)).ReadAll()
		for i := range want { // which encoding/csv does to what it reads
			want[i] = strings.ReplaceAll(want[i], "\r\n", "\n")
		}
		if diff := cmp.Diff([][]string{{"a", "b"}, want}, got); err != nil || diff != "" {
			t.Fatalf("%v, %s", err, diff)
		}
	})
}
