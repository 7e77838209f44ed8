package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	looseLimits  = "limits: [{name: api, paths: [/api/], limit: 1000, window: 1h, per: ip}]\n"
	strictLimits = "limits: [{name: api, paths: [/api/], limit: 30, window: 1h, per: ip}]\n"
)

// TestSimulate records calls and tries limits on them that are not in force,
// with a running server and after it was killed.
func TestSimulate(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+looseLimits)
	s.log.private(flooder, bystander)
	dir := filepath.Dir(s.config)
	data := filepath.Join(dir, "data")
	s.command(t, 1, "limits", "suggest", "--data", data) // nothing is recorded yet
	if _, err := os.Stat(filepath.Join(data, "traffic")); !os.IsNotExist(err) {
		t.Errorf("without being told to, the server records: %v", err)
	}
	write := func(file, config string) {
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(s.config, baseConfig+looseLimits+"traffic: {record: true}\n")
	s.reload(t, http.StatusOK, "reloaded")
	for range 40 {
		if res := s.do(t, request{path: "/api/status", header: from(flooder)}); res.status != http.StatusOK {
			t.Fatal(res)
		}
	}
	for range 7 {
		s.do(t, request{path: "/api/projects/{token}/stats", header: from(bystander)})
	}

	proposed := &server{public: s.public, config: filepath.Join(dir, "proposed.yaml")}
	write(proposed.config, baseConfig+strictLimits)
	simulated := func() {
		t.Helper()
		stdout := proposed.command(t, 0, "limits", "simulate", "--data", data)
		for _, want := range []string{
			`: 47 calls of 2 addresses; 0 of them were refused`,
			`(?m)^api +30 in 3600s +ip +47 +10 +21% +0 +2 +1 +0$`,
			`(?m)^203\.0\.113\.7 +api +10 +40 +25% +0 +2\d{3}-\d\d-\d\d \S+ +2\d{3}-\S+ \S+ +-$`,
			`the record tells of \d+s, which is less than the window of api\.`,
		} {
			if !regexp.MustCompile(want).MatchString(stdout) {
				t.Errorf("limits simulate: got\n%s\nwant %s", stdout, want)
			}
		}
		if strings.Contains(stdout, bystander) {
			t.Errorf("somebody is listed who would not have been refused:\n%s", stdout)
		}
	}
	simulated()
	stdout := s.command(t, 0, "limits", "suggest", "--data", data)
	if want := "  - {name: api, paths: [/api/], limit: 40, window: 1h, per: ip}\n"; !strings.Contains(stdout, want) {
		t.Errorf("limits suggest: got\n%s\nwant %s", stdout, want)
	}
	var advice struct {
		Suggestions []struct{ Then struct{ Limit uint32 } }
	}
	stdout = s.command(t, 0, "limits", "suggest", "--data", data, "--share", "50", "--json")
	if err := json.Unmarshal([]byte(stdout), &advice); err != nil || len(advice.Suggestions) != 1 || advice.Suggestions[0].Then.Limit != 8 {
		t.Errorf("limits suggest --share 50 --json: got\n%s\nwant a limit of 8 (%v)", stdout, err)
	}
	s.kill(t)
	simulated()
	checkRecord(t, filepath.Join(data, "traffic"))
}

// checkRecord checks that only the owner can read a record, and that it
// identifies callers by address only.
func checkRecord(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Fatalf("%d files: %v", len(entries), err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v (%v), want 0600", e.Name(), info.Mode(), err)
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, private := range []string{projectToken, publicKey, privateID, secretKey} {
			if bytes.Contains(text, []byte(private)) {
				t.Errorf("%s holds %q", e.Name(), private)
			}
		}
	}
}
