package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/destination/verify"
)

// TestDestinations operates destinations without a server. The commands do what
// the server would do, except that they send nothing.
func TestDestinations(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, data := filepath.Join(dir, "t.yaml"), filepath.Join(dir, "data")
	runs(t, fine, "init", "--config", path)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	events := filepath.Join(dir, "events.ndjson")
	write(t, events, `{"name":"customers/events","data":{"customer_ids":{"registered":"u1"},"event_type":"buy","properties":{"total":1.5}}}`+"\n")
	runs(t, fine, "import", "--config", path, "--data", data, "--quiet", events)
	write(t, path, string(text)+`
destinations:
  - {name: out, kind: file, path: ./out}
  - {name: warehouse, kind: postgres, url_env: TRACKWAY_TEST_NO_SUCH_VARIABLE}
  - {name: hooks, kind: webhook, url: "https://example.com/", secret: k7Qz-19fLmA0xRw3}
`)
	_, stderr := runs(t, failed, "destinations", "list", "--config", path, "--data", data)
	contains(t, "without a server, credentials are needed", stderr, "names an environment variable that is not set")
	if strings.Count(stderr, "destinations[1]") != 1 {
		t.Errorf("got %s, want one message for one mistake", stderr)
	}
	_, stderr = runs(t, failed, "destinations", "ddl", "hooks", "--config", path)
	contains(t, "ddl of a receiver", stderr, `destination "hooks" is of kind webhook, which has no tables`)
	stdout, _ := runs(t, fine, "destinations", "ddl", "out", "--config", path)
	contains(t, "ddl of files", stdout, "CREATE OR REPLACE VIEW events_by_person")
	stdout, _ = runs(t, fine, "destinations", "ddl", "warehouse", "--config", path)
	contains(t, "ddl without the server's environment", stdout, "CREATE TABLE IF NOT EXISTS")
	_, stderr = runs(t, failed, "destinations", "ddl", "x", "--config", path)
	contains(t, "ddl of no destination", stderr, `there is no destination "x", only out, warehouse, hooks`)

	write(t, path, string(text)+"\ndestinations: [{name: out, kind: file, path: ./out}]\n")
	at := []string{"--config", path, "--data", data}
	does := func(status int, args ...string) (stdout, stderr string) {
		t.Helper()
		return runs(t, status, append(append([]string{"destinations"}, args...), at...)...)
	}
	stdout, stderr = does(fine, "list")
	contains(t, "list", stdout, "out   file  ")
	contains(t, "list without a server", stderr, "No server is running")
	stdout, _ = does(fine, "check")
	contains(t, "check", stdout, "out  fine, in ")
	does(fine, "pause", "out")
	stdout, _ = does(fine, "list", "--json")
	var list destinationList
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list.Destinations) != 1 || list.Destinations[0].State != "paused" || list.Destinations[0].LagEvents == 0 {
		t.Errorf("got %s, %v", stdout, err)
	}
	does(fine, "resume", "out")
	stdout, _ = does(fine, "suggest", "out")
	contains(t, "suggest", stdout, `{type: buy, property: total, as: "decimal(12,2)"}`)
	stdout, _ = does(fine, "rejects", "out")
	contains(t, "rejects", stdout, "out has rejected nothing.")
	stdout, _ = does(fine, "verify", "out")
	contains(t, "verify before anything is sent", stdout, "compared 0 events of the log, up to change 0")
	stdout, _ = does(fine, "rewind", "out", "--to", "now")
	contains(t, "rewind", stdout, "out: continues after change 2")
	stdout, stderr = does(failed, "verify", "out", "--from", "1")
	contains(t, "verify of what was left out", stdout, "missing 1, doubled 0, different 0, foreign 0")
	contains(t, "the end of verify", stderr, "out differs from the log")
	stdout, _ = does(fine, "verify", "out", "--from", "1", "--mend", "--json")
	var report verify.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report.Mended != 1 || report.Left != 0 || report.Missing != 1 {
		t.Errorf("got %s, %v", stdout, err)
	}
	stdout, _ = does(fine, "verify", "out")
	contains(t, "verify after mending", stdout, "missing 0, ")
	stdout, stderr = runs(t, misuse, "destinations", "pause")
	contains(t, "no name", stdout+stderr, "Try: trackway destinations pause --help")
	_, stderr = does(failed, "pause", "x")
	contains(t, "pause", stderr, `"x": there is no such destination in the configuration`)
	if _, stderr = does(failed, "rewind", "out", "--to", "5"); !strings.Contains(stderr, "the store has no change 5 yet, only 2") {
		t.Error(stderr)
	}
	stdout, _ = runs(t, fine, append([]string{"mirror", "status"}, at...)...)
	contains(t, "mirror status", stdout, "no destinations of kind mirror")
}
