package feed

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"

	"trackway/internal/allocs"
	"trackway/internal/control"
)

// discard is a server that accepts everything that it receives, at almost no
// cost.
func discard(_ context.Context, body io.Reader, length int64) (io.ReadCloser, error) {
	text := make([]byte, length)
	if _, err := io.ReadFull(body, text); err != nil {
		return nil, err
	}
	rows := bytes.Count(text, []byte("\n"))
	return io.NopCloser(strings.NewReader(strings.Repeat("{\"status\":\"stored\"}\n", rows))), nil
}

// TestRowsAreCheap: what an import allocates depends on the number of batches,
// not of rows.
func TestRowsAreCheap(t *testing.T) { // not parallel: it counts allocations
	const batches = 20
	text, _ := numbered(batches * control.MaxLines)
	path := write(t, "rows.ndjson", text)
	allocations := allocs.PerRun(1, func() {
		mustFile(t, path, Options{Post: discard, Again: true})
	})
	if most := float64(batches*control.MaxLines) / 10; allocations > most {
		t.Errorf("%v allocations for %d rows, want at most %v", allocations, batches*control.MaxLines, most)
	}
}

// BenchmarkFile measures what a row costs the client, without the request.
func BenchmarkFile(b *testing.B) {
	const rows = 50 * control.MaxLines
	long := `"properties":{"text":"` + strings.Repeat("a usual event ", 30) + `"},`
	line := strings.Replace(row("a"), `"event_type"`, long+`"event_type"`, 1) + "\n"
	path := write(b, "rows.ndjson", strings.Repeat(line, rows))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := File(b.Context(), path, Options{Post: discard, Again: true}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
}
