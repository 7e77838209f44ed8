package suggest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/clickhouse"
	"trackway/internal/destination/column"
	"trackway/internal/destination/postgres"
	"trackway/internal/destination/suggest"
)

func TestPropose(t *testing.T) {
	t.Parallel()
	var s suggest.Sample
	for i := range 200 {
		total := "12.50"
		if i%10 == 0 {
			total = "13"
		}
		if i == 7 {
			total = `"free"`
		}
		s.Add("purchase", fmt.Appendf(nil, `{"at":"2024-02-29","day":"2024-02-29","dear":%t,"items":[1],"n":%d,"none":null,"page":"/x","total":%s,"x":%d.123456789,"zip":"12345"}`, i%2 == 0, i, total, i))
		s.Add("refund", fmt.Appendf(nil, `{"page":"/x","seen":"2024-02-29T12:00:00Z","total":%d}`, i))
	}
	for range 20 {
		s.Add("visit it", []byte(`{"page":"/x","seen":"2024-02-29"}`))
	}
	s.Add("visit it", []byte(`{"rare":1}`))
	got := s.Propose(0.1).YAML("    ")
	want := `    # From a sample of 421 events of 3 types.
    columns:
      - {property: page, as: text} # 420 of 421 events (99.7 %)
      - {type: purchase, property: at, name: purchase_at, as: date} # 200 of 200 events (100 %)
      - {type: purchase, property: day, as: date} # 200 of 200 events (100 %)
      - {type: purchase, property: dear, as: boolean} # 200 of 200 events (100 %)
      - {type: purchase, property: "n", as: bigint} # 200 of 200 events (100 %)
      - {type: purchase, property: total, as: "decimal(21,2)"} # 200 of 200 events (100 %); values that would not fit: 1
      - {type: purchase, property: x, as: double} # 200 of 200 events (100 %)
      - {type: purchase, property: zip, as: text} # 200 of 200 events (100 %)
      - {type: refund, property: seen, as: timestamp} # 200 of 200 events (100 %)
      - {type: refund, property: total, as: "decimal(21,2)"} # 200 of 200 events (100 %)
      - {type: "visit it", property: seen, as: timestamp} # 20 of 21 events (95.2 %)
`
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// TestProposalIsValid has many types and properties with odd names. Every
// proposal must be accepted, and must leave out as many values as it says.
func TestProposalIsValid(t *testing.T) {
	t.Parallel()
	var s suggest.Sample
	type event struct{ typ, properties string }
	var events []event
	for i := range 3000 {
		e := event{fmt.Sprint("type ", i%250), fmt.Sprintf(`{"%d p":%d,"SEQ":"x%d","Total":1.25,"\"\\\u0007":%d,"%s":1,"total":%d,"type":true}`,
			i%400, i, i, i, strings.Repeat("long", 20), i)}
		events = append(events, e)
		s.Add(e.typ, []byte(e.properties))
	}
	p := s.Propose(0.05)
	if len(p.Types) != 200 || p.Left == 0 || len(p.Columns) == 0 {
		t.Errorf("got %d types and %d columns, and %d left out", len(p.Types), len(p.Columns), p.Left)
	}
	var declared []config.Column
	for _, c := range p.Columns {
		declared = append(declared, config.Column{Type: c.Type, Property: c.Property, Name: c.Name, As: c.As.String()})
	}
	set, err := column.NewSet(declared)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Columns) > 200 {
		t.Errorf("got %d columns", len(set.Columns))
	}
	var misfits column.Misfits
	for _, e := range events {
		set.Values(nil, e.typ, []byte(e.properties), &misfits)
	}
	for _, m := range misfits.All() {
		if m != (destination.Misfit{}) {
			t.Errorf("got the misfit %v", m)
		}
	}
}

func TestNothingToPropose(t *testing.T) {
	t.Parallel()
	var s suggest.Sample
	if got := s.Propose(0.1).YAML(""); !strings.Contains(got, "columns: []") {
		t.Errorf("got %s", got)
	}
}

// TestProposalWorks has names that clients may send, but that YAML or a
// database does not support. The printed text must be accepted unchanged.
func TestProposalWorks(t *testing.T) {
	t.Parallel()
	odd := []string{
		"person", "changed", "xmin", "ctid", "seq", "Seq", "tab\tbed", "line\nbreak", "nul\x00", "\uffff", "\ufffe", "\u2028", "\ufeff", "\u0085", "\U000e0001", "\U0010ffff",
		"null", "~", "yes", "1e3", "0x1f", "2026-01-01", "a: b", "# no", "'", `"`, `\`, "{}", "[", "&a", "*a", "!t", "%", "@", "`", "-", "?", " ", ".inf", "=", "<<", "日本", "a,b",
		"x'; DROP TABLE events; --", "*", "page_*",
	}
	var s suggest.Sample
	for i, name := range odd {
		quoted, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			s.Add(odd[(i*7+3)%len(odd)], fmt.Appendf(nil, `{%s:"v"}`, quoted))
		}
	}
	proposal := s.Propose(0.1)
	yaml := proposal.YAML("    ")
	for _, kind := range []string{"postgres", "clickhouse"} {
		text := "projects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\ndestinations:\n  - name: w\n    kind: " + kind +
			"\n    url: " + map[string]string{"postgres": "postgres://h/d", "clickhouse": "http://h"}[kind] + "\n" + yaml
		cfg, err := config.Parse("trackway.yaml", []byte(text), config.Flags{}, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%v\n%s", err, yaml)
		}
		if kind == "postgres" {
			_, err = postgres.New(cfg.Destinations[0])
		} else {
			_, err = clickhouse.New(cfg.Destinations[0])
		}
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		var want []config.Column
		for _, c := range proposal.Columns {
			want = append(want, config.Column{Type: c.Type, Property: c.Property, Name: c.Name, As: c.As.String()})
		}
		got := cfg.Destinations[0].Columns
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		if most := len(odd) - 2; len(got) != most { // those with U+0000
			t.Errorf("got %d columns, want %d", len(got), most)
		}
	}
}
