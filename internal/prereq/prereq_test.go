package prereq

import (
	"fmt"
	"runtime"
	"testing"
)

// witness is a test that records how it ended.
type witness struct {
	testing.TB

	ended string
}

func (*witness) Helper() {}

func (w *witness) Fatalf(format string, args ...any) {
	w.ended = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (w *witness) Skipf(format string, args ...any) {
	w.ended = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// Not parallel: it sets the environment.
func TestMissing(t *testing.T) {
	for required, want := range map[string]string{
		"":          "skipped: node is not there: no such file",
		"curl":      "skipped: node is not there: no such file",
		"curl node": "failed: TRACKWAY_REQUIRE names node, which is not there: no such file",
	} {
		t.Setenv(Variable, required)
		w := &witness{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			Missing(w, Node, "no such file")
		}()
		if <-done; w.ended != want {
			t.Errorf("%q: got %q, want %q", required, w.ended, want)
		}
	}
}
