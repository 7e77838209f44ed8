package foreign

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/ingest"
)

var update = flag.Bool("update", false, "write the golden files")

// shop is the project that the files are imported into.
func shop() *trackway.Project {
	return &trackway.Project{Number: 1, Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie", Nobody: []string{"null"}}
}

const (
	received trackway.Micros = 1_800_000_000_000_000
	asOf     trackway.Micros = 1_790_000_000_000_000
)

func from() *Source { return &Source{Project: shop(), Received: received, AsOf: asOf} }

// shown formats a command as a line of text, after the checks of package
// ingest, because both determine whether a command is right.
func shown(c *trackway.Command, p *trackway.Project) string {
	if err := ingest.Validate(p, c); err != nil {
		return fmt.Sprintf("refused: %s %s", err.Field, err.Reason)
	}
	if c.Kind == trackway.AddEvent && c.Bytes < len(canonjson.AppendObject(nil, c.Properties)) {
		return "has fewer bytes than its properties"
	}
	ids := make([]string, 0, len(c.IDs))
	for _, id := range c.IDs {
		kind := "~"
		if id.Hard {
			kind = "="
		}
		ids = append(ids, id.Name+kind+id.Value)
	}
	what := "update"
	if c.Kind == trackway.AddEvent {
		what = "event " + c.Type
	}
	return fmt.Sprintf("%s of %s at %s: %s", what, strings.Join(ids, " "), c.Time.AppendSeconds(nil), canonjson.AppendObject(nil, c.Properties))
}

// decoded formats what a line becomes.
func decoded(t *testing.T, vendor string, line []byte, from *Source) (all []string) {
	t.Helper()
	decode := Of(vendor)
	if decode == nil {
		t.Fatalf("there is no vendor %s", vendor)
	}
	commands, err := decode(line, from)
	if err != nil {
		return []string{fmt.Sprintf("refused: %s %s", err.Field, err.Msg+string(err.Reason)+err.What)}
	}
	for i := range commands {
		all = append(all, shown(&commands[i], from.Project))
	}
	return all
}

// TestFiles reads the files in testdata, which have the forms that the vendors
// export.
func TestFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.ndjson")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no files", err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			vendor, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".ndjson"), "-")
			var got strings.Builder
			for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
				fmt.Fprintf(&got, "line %d\n", i+1)
				for _, one := range decoded(t, vendor, line, from()) {
					got.WriteString("\t" + one + "\n")
				}
			}
			golden := strings.TrimSuffix(path, ".ndjson") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error("(-want +got):\n" + diff)
			}
		})
	}
}

// TestLines checks cases that the files do not have, above all refusals.
func TestLines(t *testing.T) {
	t.Parallel()
	tests := []struct{ vendor, line, want string }{
		{"mixpanel", `[]`, "refused:  The line is no JSON object."},
		{"mixpanel", `{"event":`, "refused:  The line is no JSON object."},
		{"mixpanel", `{}`, "refused: event required"},
		{"mixpanel", `{"event":"a","properties":{"distinct_id":"u"}}`, "refused: time expected" + aTime},
		{"mixpanel", `{"event":"a","properties":{"distinct_id":"u","time":1e30}}`, "refused: time expected" + aTime},
		{
			"mixpanel", `{"event":"a","properties":{"distinct_id":{},"time":1}}`,
			"refused: distinct_id expecteda string or a number, got an object",
		},
		{
			"mixpanel", `{"event":"a","properties":{"distinct_id":"\ud800","time":1}}`,
			`refused: distinct_id expectedtext, got half a surrogate pair (\ud800 to \udfff)`,
		},
		{"mixpanel", `{"event":"a","properties":{"time":1}}`, "refused: customer_ids nobody"},
		{ // a row of a CSV file
			"mixpanel", `{"event":"a","time":1,"distinct_id":"u","x":"","y":2}`,
			`event a of registered=u at 1: {"y":2}`,
		},
		{
			"mixpanel", `{"$distinct_id":"u","$email":"j@x.org","z":1}`,
			`update of registered=u at 1790000000: {"email":"j@x.org","z":1}`,
		},
		{
			"mixpanel", `{"event":"$merge","properties":{"time":1,"$distinct_ids":["u1","u2"]}}`,
			`update of registered=u1 cookie~u2 at 1: {}`,
		},
		{
			"mixpanel", `{"event":"a","properties":{"time":1,"distinct_id":"canonical","$user_id":"u","$device_id":"d"}}`,
			`event a of registered=u cookie~canonical cookie~d at 1: {}`,
		},

		{
			"bloomreach", `{"registered":"u","timestamp":1,"event_type":"visit","a":1}`,
			`event visit of registered=u at 1: {"a":1}`,
		},
		{"bloomreach", `{"registered":"u","event_type":"visit"}`, "refused: timestamp required"},
		{ // a property of a customer
			"bloomreach", `{"registered":"u","type":"gold"}`,
			`update of registered=u at 1790000000: {"type":"gold"}`,
		},
		{"bloomreach", `{"registered":"u","update_timestamp":5,"a":null,"b":""}`, `update of registered=u at 5: {}`},
		{"bloomreach", `{"email":"u@x.org"}`, "refused: customer_ids nobody"},
		{"bloomreach", `{"ids":{"phone":"1"},"properties":{}}`, "refused: customer_ids expected"},
		{
			"bloomreach", `{"ids":{"registered":"u"},"properties":{},"events":[{"type":"a","timestamp":"soon"}]}`,
			"refused: timestamp expected" + aTime,
		},
		{ // nothing says whose
			"bloomreach", `{"success":true,"data":[{"type":"a","timestamp":1,"properties":{}}]}`,
			"refused: customer_ids nobody",
		},
	}
	for _, tt := range tests {
		if got := strings.Join(decoded(t, tt.vendor, []byte(tt.line), from()), "\n"); got != tt.want {
			t.Errorf("%s: %s\n got %s\nwant %s", tt.vendor, tt.line, got, tt.want)
		}
	}
	typed := from()
	typed.EventType, typed.Project.Soft = "purchase", []string{"cookie", "internal_customer_id"}
	line := `{"internal_customer_id":"5f","timestamp":"2026-01-01 00:00:07 UTC","ingest_timestamp":"2026-01-01 00:00:09 UTC","type":"online"}`
	want := []string{`event purchase of internal_customer_id~5f at 1767225607: {"type":"online"}`}
	if diff := cmp.Diff(want, decoded(t, "bloomreach", []byte(line), typed)); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

// FuzzDecode checks that no line panics, and that the same line gives the same
// commands.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.ndjson")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		for _, vendor := range Vendors() {
			once, again := decoded(t, vendor, slices.Clone(line), from()), decoded(t, vendor, slices.Clone(line), from())
			if !slices.Equal(once, again) {
				t.Fatalf("%s: %q and %q", vendor, once, again)
			}
		}
	})
}
