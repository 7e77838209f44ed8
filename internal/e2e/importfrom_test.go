package e2e

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exportedFiles are small files in the shapes of what vendors export.
const exportedFiles = root + "/internal/format/foreign/testdata"

// copyExported puts a vendor's file into a folder, under another name, which
// may ask for compression.
func copyExported(t *testing.T, name, to string) {
	t.Helper()
	in, err := os.Open(filepath.Join(exportedFiles, name))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	var w io.WriteCloser = out
	if strings.HasSuffix(to, ".gz") {
		w = gzip.NewWriter(out)
	}
	if _, err := io.Copy(w, in); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if w != io.WriteCloser(out) {
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	events     = regexp.MustCompile(`Events stored: (\d+), duplicates: (\d+)`)
	importedOf = map[string]struct {
		files map[string]string // name in testdata: name in the folder
		args  []string
		want  string // what the first import says of its events, and the second
	}{
		"segment":     {map[string]string{"segment.ndjson": "segment-logs/s1/1767225600000/1.gz"}, nil, "4 0, 0 4"},
		"rudderstack": {map[string]string{"rudderstack.ndjson": "rudder-logs/s1/2026-01-01/1.json.gz"}, nil, "1 0, 0 1"},
		"posthog": {map[string]string{
			"posthog-events.ndjson": "2026-01-01_events/1.jsonl.gz", "posthog-persons.ndjson": "2026-01-01_persons/1.jsonl", "posthog-events.csv": "events.csv",
		}, nil, "2 0 0 0 1 0, 0 2 0 0 0 1"},
		"mixpanel": {map[string]string{
			"mixpanel-events.ndjson": "1-events.jsonl.gz", "mixpanel-people.ndjson": "2-people.jsonl", "mixpanel-events.csv": "3-more.csv",
		}, nil, "4 0 0 0 2 0, 0 4 0 0 0 2"},
		"bloomreach": {map[string]string{
			"bloomreach-customers.csv": "1-customers.csv.gz", "bloomreach-events.csv": "2-events.csv", "bloomreach.ndjson": "3.json",
		}, nil, "0 0 3 0 3 0, 0 0 0 3 0 3"},
	}
)

// The files of every vendor are imported as they are, from a folder. A second
// import of the same folder stores nothing twice. In the end, each vendor's
// customer has what the files say of it.
func TestImportFrom(t *testing.T) {
	t.Parallel()
	for vendor, c := range importedOf {
		t.Run(vendor, func(t *testing.T) {
			t.Parallel()
			s := start(t, baseConfig)
			s.log.private("jane@example.com", "joe@example.com", "u-17", "u-18")
			dir := filepath.Join(filepath.Dir(s.config), "exported")
			for name, to := range c.files {
				copyExported(t, name, filepath.Join(dir, to))
			}
			var said []string
			for range 2 {
				var counts []string
				out := s.run(t, 0, append([]string{"import", "-q", "--from", vendor, dir}, c.args...)...)
				for _, found := range events.FindAllStringSubmatch(out, -1) {
					counts = append(counts, found[1]+" "+found[2])
				}
				said = append(said, strings.Join(counts, " "))
			}
			if got := strings.Join(said, ", "); got != c.want {
				t.Errorf("events stored and duplicates of the files, twice: got %s, want %s", got, c.want)
			}
			jane := "u-17"
			if vendor == "bloomreach" {
				jane = "jane@example.com"
			}
			profile := s.exportOne(t, map[string]any{"registered": jane})
			if profile == nil || profile.Properties["email"] != "jane@example.com" || len(profile.Events) == 0 {
				t.Errorf("got %+v", profile)
			}
		})
	}
}
