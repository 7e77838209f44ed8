package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"trackway/internal/sleep"
)

const seeingLimits = `
limits:
  - {name: track, paths: [/track/], limit: 10, window: 1h, per: ip, allow_below_floor: true}
  - {name: api, paths: [/api/, /data/], limit: 1000, window: 1h, per: ip+path, candidate: 500}
`

// TestSeeing makes one caller approach a limit and another exceed it, and
// checks what the operator sees of that.
func TestSeeing(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+seeingLimits)
	s.log.private(flooder, bystander, "seen-event")
	event := []byte(`{"customer_ids": {"cookie": "c"}, "event_type": "seen-event"}`)
	for i := range 13 {
		header := from(flooder)
		header["User-Agent"] = "flood/1.0"
		res := s.do(t, request{path: "/track/v2/projects/{token}/customers/events", auth: "public", header: header, body: event})
		if want := map[bool]int{true: http.StatusOK, false: http.StatusTooManyRequests}[i < 10]; res.status != want {
			t.Fatalf("call %d: got %v, want %d", i, res, want)
		}
	}
	s.do(t, request{path: "/track/v2/projects/{token}/system/time", auth: "public", header: from(bystander)})

	var stdout string
	for _, want := range []string{
		`(?m)^track +10 in 3600s +enforce +14 +3 +0 +0 +2 +1 +10 +10 +10$`,
		`(?m)^track +0 +1 +0 +0 +0 +0 +0 +0 +0 +0 +1$`,
	} {
		// How near callers come to a limit may be known since a second ago.
		for deadline := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
			if stdout = s.command(t, 0, "limits", "show"); regexp.MustCompile(want).MatchString(stdout) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("limits show: got\n%s\nwant %s", stdout, want)
			}
		}
	}
	stdout = s.command(t, 0, "limits", "top", "--policy", "track")
	caller := `13 +3 +0 +track +203\.0\.113\.7 +\S+ +90% +demo +POST /track/v2/projects/\{token\}/customers/events +seen-event +flood/1\.0 +X-Forwarded-For from 127\.0\.0\.1`
	if !regexp.MustCompile(`^CALLS.*\n` + caller + `\n1 +0 +0 +track +203\.0\.113\.8 `).MatchString(stdout) {
		t.Errorf("limits top: got\n%s\nwant %s", stdout, caller)
	}
	var answer struct{ Rows []struct{ Address string } }
	stdout = s.command(t, 0, "limits", "top", "--refused", "--json")
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || len(answer.Rows) != 1 || answer.Rows[0].Address != flooder {
		t.Errorf("limits top --refused --json: got %s (%v), want the flooder only", stdout, err)
	}
	for _, private := range []string{projectToken, publicKey, privateID, secretKey} {
		if strings.Contains(s.command(t, 0, "limits", "top", "--json"), private) {
			t.Errorf("what callers send holds %q", private)
		}
	}
	s.command(t, 1, "limits", "top", "--policy", "none")
	s.command(t, 1, "limits", "show", "--listen", "127.0.0.1:1")

	_, metrics := get(t, s.ops, "/metrics")
	for _, want := range []string{
		`trackway_limit_calls_total{policy="track"} 14`, `trackway_limit_refused_total{policy="track"} 3`,
		`trackway_limit_callers{policy="track"} 2`, `trackway_limited_calls_total{policy="track",project="demo"} 3`, `trackway_limit_candidate_refused_total{policy="api"} 0`, `trackway_limit_table_bytes `,
	} {
		if !bytes.Contains(metrics, []byte("\n"+want)) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	for _, private := range []string{flooder, bystander, "flood/1.0"} {
		if bytes.Contains(metrics, []byte(private)) {
			t.Errorf("the metrics hold %q", private)
		}
	}
}

// A server that expects the PROXY protocol from this host still answers the
// operator's commands.
func TestSeeingBehindProxyProtocol(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+"proxy_protocol: true\n")
	if stdout := s.command(t, 0, "limits", "show"); !strings.Contains(stdout, "6000 in 60s") {
		t.Errorf("got\n%s", stdout)
	}
}

// command runs trackway with the server's configuration, checks its exit
// status, and returns its standard output.
func (s *server) command(t *testing.T, want int, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), append(args, "--config", s.config)...)
	cmd.Env = append(os.Environ(), "TRACKWAY_LISTEN="+s.public, "TRACKWAY_SECRET=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != want || want != 0 && (stderr.Len() == 0 || stdout.Len() > 0) {
		t.Fatalf("trackway %s: got exit status %d, want %d (%v)\n%s%s", strings.Join(args, " "), got, want, err, &stdout, &stderr)
	}
	return stdout.String()
}
