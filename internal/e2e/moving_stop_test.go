package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStopDoublesNothing stops a server during an import. The server must
// answer each batch that it has stored, so that these are not sent again: the
// rows have no time, so duplicates could not be recognized.
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
		_ = cmd.Wait() // it learns that the server has gone
		s = startIn(t, dir, baseConfig+wideLimits)
	}
	s.run(t, 0, "import", "-q", "rows.ndjson")
	if got := strings.Count(s.run(t, 0, "export", "--events"), "\n"); got != rows {
		t.Errorf("got %d events, want %d", got, rows)
	}
}
