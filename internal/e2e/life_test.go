package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/prereq"
)

// TestSecondProcess: two servers never share a data directory. The second one
// says why it does not start.
func TestSecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startIn(t, dir, baseConfig)
	data := filepath.Join(dir, "data")
	second := launch(t, dir, "--config", filepath.Join(dir, "trackway.yaml"), "--data", data)
	if status := second.await(t, patience); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	if text := second.log.all(); !strings.Contains(text, data) || !strings.Contains(text, "another process") {
		t.Errorf("got %q, want it to say that another process uses %s", text, data)
	}
	first.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "still-here"}})
	if status := first.stop(t); status != 0 {
		t.Errorf("the first server: got exit status %d, want 0", status)
	}
}

// TestRestart: what was stored is still there after an orderly stop, and the
// counts are right.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ids := map[string]any{"registered": "who", "cookie": "what"}
	s := startIn(t, dir, baseConfig)
	s.track(t, "customers", map[string]any{"customer_ids": ids, "properties": map[string]any{"first_name": "L"}})
	s.track(t, "customers/events", map[string]any{"customer_ids": ids, "event_type": "e", "timestamp": 1000.5})
	before := s.exportOne(t, ids)
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	s = startIn(t, dir, baseConfig)
	after := s.exportOne(t, ids)
	if got, want := string(encode(t, after)), string(encode(t, before)); got != want || before == nil {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestFirstStart does what a newcomer does: it starts the server in an empty
// directory, and pastes the printed commands.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		prereq.Missing(t, prereq.Curl, err.Error())
	}
	dir := t.TempDir()
	s := launch(t, dir)
	s.awaitReady(t)
	file := filepath.Join(dir, "trackway.yaml")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("got mode %o for the configuration, want 600", mode)
	}
	s.awaitLog(t, "the lines to paste", func(text string) bool { return len(curlLines(text)) == 2 && strings.HasSuffix(text, "\n\n") })
	for _, line := range curlLines(s.log.all()) {
		paste(t, line)
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}

	config, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s = launch(t, dir)
	s.awaitReady(t)
	again, err := os.ReadFile(file)
	if err != nil || string(again) != string(config) {
		t.Errorf("a second start changed the configuration (%v)", err)
	}
	if more := curlLines(s.log.all()); len(more) > 0 {
		t.Errorf("a second start printed keys: %q", more)
	}
}

// curlLines finds the commands to paste: from "curl" at the start of a line to
// the next line that does not end in a backslash.
func curlLines(text string) []string {
	var found []string
	open := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case open:
			found[len(found)-1] += "\n" + line
		case strings.HasPrefix(line, "curl "):
			found = append(found, line)
		default:
			continue
		}
		open = strings.HasSuffix(line, `\`)
	}
	return found
}

// paste runs a command in a shell. The server must answer with success.
func paste(t *testing.T, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", line).Output()
	if err != nil {
		t.Errorf("%s: %v", line, err)
	}
	var answer struct{ Success bool }
	if err := json.Unmarshal(out, &answer); err != nil || !answer.Success {
		t.Errorf("%s\ngot %s, want success", line, out)
	}
}
