package cost

import (
	"strings"
	"testing"

	"trackway"
)

// TestOf checks that the costs of bodies are far apart, and bounded. The tests
// of package tracking check that they are no less than the real allocations.
func TestOf(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		"":                         base,
		`{}`:                       base + 2*Factor,
		strings.Repeat("x", 1000):  base + 4000,
		strings.Repeat("0,", 1000): base + 2000*Factor,
		`{"customer_ids":{"registered":"jane@example.com"},"event_type":"visit","timestamp":1700000000}`: base + 4*94 + 2*perComma + 2*PerCommand,
	} {
		if got := Of([]byte(body), trackway.MaxCommands); got != want {
			t.Errorf("%.40q: got %d, want %d", body, got, want)
		}
	}
}
