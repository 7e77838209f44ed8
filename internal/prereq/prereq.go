// Package prereq handles missing prerequisites of tests: a program, a client
// from a registry, the data beside the repository. In a fresh clone, such a
// test skips and says what it needs. `make test` and CI install the
// prerequisites and list them in TRACKWAY_REQUIRE. Then a missing one is a
// failure, so that no test is skipped unnoticed.
package prereq

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Variable is the environment variable that lists the required prerequisites,
// separated by spaces.
const Variable = "TRACKWAY_REQUIRE"

// The prerequisites, by the names that [Variable] takes.
const (
	Curl   = "curl"   // the program
	Node   = "node"   // with the clients that tools/install-clients puts beside internal/e2e
	Python = "python" // the same
	Fuzzer = "fuzzer" // schemathesis, a fuzzer of contracts, which needs a newer Python
	Shared = "shared" // the data in ../shared
	GoSDKs = "gosdks" // the modules that internal/e2e/testdata/goclients needs
	Nginx  = "nginx"  // the program, for the guide in docs/howto
	Caddy  = "caddy"  // the same
	Pebble = "pebble" // the authority for certificates that tools/go.mod pins
	Mount  = "mount"  // the right to mount a small file system

	Namespaces = "namespaces" // the right to make network namespaces and to mount files, for internal/chaos

	PostHog  = "posthog"  // the SDKs of PostHog and OpenTelemetry that tools/install-clients installs
	Browsers = "browsers" // the SDKs of other products for browsers, our own, built, and Chromium

	Postgres         = "postgres"         // the server's programs (initdb, postgres, psql), for the destination
	ClickHouse       = "clickhouse"       // ClickHouse's engine, for Python, for the destination
	Kafka            = "kafka"            // the broker that tools/install-kafka installs
	StandardWebhooks = "standardwebhooks" // the library for Python, for the destination
	DuckDB           = "duckdb"           // the database, for Python: it reads what the destinations file and s3 write
	Segment          = "segment"          // the SDKs of Segment, RudderStack and Jitsu
	S3               = "s3"               // SeaweedFS, for the destination s3

	Prometheus = "prometheus" // Prometheus and promtool, which tools/install-prometheus installs
	Release    = "release"    // a release in dist, and what installs it: debootstrap, systemd-nspawn, helm
)

// Missing ends a test that lacks a prerequisite: the test skips or, if the
// prerequisite is required, fails. why says what was looked for.
func Missing(tb testing.TB, what, why string) {
	tb.Helper()
	if slices.Contains(strings.Fields(os.Getenv(Variable)), what) {
		tb.Fatalf("%s names %s, which is not there: %s", Variable, what, why)
	}
	tb.Skipf("%s is not there: %s", what, why)
}
