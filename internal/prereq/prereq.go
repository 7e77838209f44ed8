// Package prereq lets tests do without what is not there: a program, a client
// that comes from a registry, the data that lies beside the repository. In a
// fresh clone such a test skips, and says what it needs. `make test` and CI, which
// install those things, name them in TRACKWAY_REQUIRE: then their absence is a
// failure, so that no test is ever skipped in silence.
package prereq

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Variable lists, separated by spaces, what has to be there.
const Variable = "TRACKWAY_REQUIRE"

// What may be missing. The names are those that [Variable] takes.
const (
	Curl   = "curl"   // the program
	Node   = "node"   // with the clients that tools/install-clients puts beside internal/e2e
	Python = "python" // the same
	Fuzzer = "fuzzer" // of contracts, schemathesis, which needs a newer Python
	Shared = "shared" // the data in ../shared
	Nginx  = "nginx"  // the program, for the guide in docs/howto
	Caddy  = "caddy"  // the same
)

// Missing ends a test whose prerequisite is not there: it skips, or fails if what
// is required. why says what was looked for.
func Missing(tb testing.TB, what, why string) {
	tb.Helper()
	if slices.Contains(strings.Fields(os.Getenv(Variable)), what) {
		tb.Fatalf("%s names %s, which is not there: %s", Variable, what, why)
	}
	tb.Skipf("%s is not there: %s", what, why)
}
