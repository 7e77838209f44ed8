package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStopDoublesNothing promises that a server which is stopped while it takes
// in an import answers each batch that it has stored: rows without a time, which
// cannot be told from others like them, are not sent again.
func TestStopDoublesNothing(t *testing.T) {
	t.Parallel()
	const rows, stops = 200_000, 4
	dir := t.TempDir()
	var text strings.Builder
	for i := range rows {
		fmt.Fprintf(&text, `{"name":"customers/events","data":{"customer_ids":{"registered":"c%d"},"event_type":"e","properties":{"i":%d}}}`+"\n", i%100, i)
	}
	file := filepath.Join(dir, "rows.ndjson")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startIn(t, dir, baseConfig+wideLimits)
	for range stops {
		before := offsetOf(t, file)
		cmd := tool(t, s, "import", "-q", "rows.ndjson")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitProgress(t, s, before, file)
		s.stop(t)
		_ = cmd.Wait() // it is told that the server has gone
		s = startIn(t, dir, baseConfig+wideLimits)
	}
	s.run(t, 0, "import", "-q", "rows.ndjson")
	if got := strings.Count(s.run(t, 0, "export", "--events"), "\n"); got != rows {
		t.Errorf("got %d events, want %d", got, rows)
	}
}
