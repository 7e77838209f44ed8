package main

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
)

const triedLimits = `
limits:
  - {name: api, paths: [/api/], limit: 30, window: 1s, per: ip+path}
  - {name: track, paths: [/track/], limit: 6000, window: 60s, per: ip}
  - {name: quiet, paths: [/data/], limit: 5, window: 60s, per: ip, mode: report}
`

// minute is when the recorded calls came.
var minute = time.Date(2026, 1, 5, 8, 30, 0, 0, time.Local)

// recordedCalls writes a configuration and, in its data directory, a record of
// calls. One address calls 40 times within a second, and another policy refuses
// one of these calls. A hundred addresses call once each. One more call is
// under a policy in mode report.
func recordedCalls(t *testing.T, more string) (config string) {
	t.Helper()
	dir := t.TempDir()
	config = filepath.Join(dir, "t.yaml")
	write(t, config, "data_dir: data\nprojects: [{name: demo, token: 12345678-1234-1234-1234-123456789abc}]\n"+triedLimits+more)
	r := traffic.New(filepath.Join(dir, "data", "traffic"), nil, slog.New(slog.DiscardHandler))
	r.Reload(traffic.Settings{Record: true, Keep: time.Hour, MaxBytes: 1 << 20})
	note := func(address string, n int, route, refused string) {
		for range n {
			c := limit.Call{Addr: netip.MustParseAddr(address), Method: "GET", Route: route, Path: route}
			r.Note(minute, &c, &limit.Decision{Allowed: refused == "", Policy: refused})
		}
	}
	note("203.0.113.7", 39, "/api/status", "")
	note("203.0.113.7", 1, "/api/status", "old")
	for i := range 100 {
		note(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String(), 1, "/api/status", "")
	}
	note("203.0.113.8", 7, "/data/v2/x", "")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return config
}

// body drops what differs from run to run: the first line, and the warnings.
func body(stdout string) string {
	_, rest, _ := strings.Cut(stdout, "\n")
	rest, _, _ = strings.Cut(rest, "\nMind that:")
	return rest
}

func TestLimitsSimulate(t *testing.T) {
	t.Parallel()
	config := recordedCalls(t, "")
	stdout, _ := runs(t, fine, "limits", "simulate", "--config", config)
	contains(t, "the record", stdout, "147 calls of 102 addresses; 1 of them were refused.\n")
	want := `
POLICY  LIMIT        PER      CALLS  REFUSED     SHARE  WAS  CALLERS  TOUCHED  WERE
api     30 in 1s     ip+path  140    10          7.1%   0    101      1        0
quiet   5 in 60s     ip       7      2 (report)  29%    0    1        1        0
track   6000 in 60s  ip       0      0           -      0    0        0        0
old     is no more   -        -      -           -      1    -        -        1

REFUSED calls of TOUCHED callers would have been refused, in mode report if it were enforced. WAS and WERE say what the limits
in force did at the time.

CALLER       POLICY  REFUSED  OF CALLS  SHARE  WAS  FIRST                LAST                 ROUTE
203.0.113.7  api     10       40        25%    0    2026-01-05 08:30:00  2026-01-05 08:30:00  /api/status
203.0.113.8  quiet   2        7         29%    0    2026-01-05 08:30:00  2026-01-05 08:30:00  -
203.0.113.7  old     0        0         -      1    2026-01-05 08:30:00  2026-01-05 08:30:00  -
`
	if got := body(stdout); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	contains(t, "what to mind", stdout, "quiet, track.")
	stdout, _ = runs(t, fine, "limits", "simulate", "--config", config, "--top", "1")
	contains(t, "one caller", stdout, "\n… and 2 more; --top shows them.\n")
	stdout, _ = runs(t, fine, "limits", "simulate", "--config", config, "--until", "2020-01-01")
	contains(t, "an early time", stdout, "Nothing is recorded of that time.")
	stdout, _ = runs(t, fine, "limits", "simulate", "--config", config, "--json", "--top", "1")
	contains(t, "as JSON", stdout, `"callers_refused": 1`)
	contains(t, "all of it as JSON", stdout, `"caller": "203.0.113.8"`)
}

func TestLimitsSuggest(t *testing.T) {
	t.Parallel()
	config := recordedCalls(t, "")
	stdout, _ := runs(t, fine, "limits", "suggest", "--config", config)
	want := `Of each policy's callers, 99.9 percent must not be refused.

POLICY  CALLERS  CALLS  NEED  NOW          TOUCHES  REFUSES  SUGGESTED  TOUCHES  REFUSES
api     101      140    40    30 in 1s     1        10       40 in 1s   0        0
quiet   1        7      7     5 in 60s     1        2        8 in 60s   0        0
track   0        0      -     6000 in 60s  -        -        -          -        -

For the configuration:

limits:
  - {name: api, paths: [/api/], limit: 40, window: 1s, per: ip+path}
  - {name: quiet, paths: [/data/], limit: 8, window: 60s, per: ip, mode: report}

Notes:
  - api: 99.9 percent of 101 callers are all callers; a lower share leaves out the busiest.
  - quiet: 99.9 percent of 1 caller are all callers; a lower share leaves out the busiest.
  - track: there were no calls that it counts.
`
	if got := body(stdout); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	stdout, _ = runs(t, fine, "limits", "suggest", "--config", config, "--policy", "api", "--share", "99", "--window", "10s")
	contains(t, "another share and window", stdout, "\napi     101      140    1     30 in 1s  1        10       1 in 10s   1        39\n")
	for _, args := range [][]string{
		{"--share", "0"}, {"--share", "100.1"}, {"--share", "NaN"}, {"--window", "1500ms"}, {"--window", "25h"}, {"--policy", "none"}, {"--since", "soon"}, {"--until", "late"},
	} {
		_, stderr := runs(t, failed, append([]string{"limits", "suggest", "--config", config}, args...)...)
		if args[0] != "--policy" {
			contains(t, strings.Join(args, " "), stderr, args[0])
		}
	}
	runs(t, failed, "limits", "simulate", "--config", config, "--top=-1")
}

// Without a record, the commands say what to do.
func TestLimitsWithoutRecord(t *testing.T) {
	t.Parallel()
	for more, want := range map[string]string{"": "traffic: {record: true}\n", "traffic: {record: true}\n": "is the server running"} {
		config := recordedCalls(t, more)
		if err := os.RemoveAll(filepath.Join(filepath.Dir(config), "data", "traffic")); err != nil {
			t.Fatal(err)
		}
		_, stderr := runs(t, failed, "limits", "suggest", "--config", config)
		contains(t, "no record", stderr, want)
		_, stderr = runs(t, failed, "limits", "simulate", "--config", config, "--data", filepath.Join(t.TempDir(), "none"))
		contains(t, "no directory", stderr, "name the server's data directory by --data")
	}
}
