package e2e

import (
	"crypto/tls"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"trackway/internal/porttest"
)

// TestHowtoPeople follows the guide from a package to HTTPS with two users,
// with the configuration that a package installs and a real authority. Only the
// name of the host, the ports and the authority differ.
func TestHowtoPeople(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the authority")
	}
	const guide = "install-with-https-and-people.md"
	listen, web := porttest.Address(t), porttest.Address(t)
	a := startAuthority(t, web, listen, time.Hour)
	dir := t.TempDir()
	config := filepath.Join(dir, "trackway.yaml")
	run := func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), binary(t), append(args, "--config", config)...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	run("", "init")
	page, err := os.ReadFile(filepath.Join(howtos, guide))
	if err != nil {
		t.Fatal(err)
	}
	users := regexp.MustCompile(`(?m)^    sudo trackway (user add .*)$`).FindAllSubmatch(page, -1)
	if len(users) != 2 {
		t.Fatalf("the guide adds %d users", len(users))
	}
	for _, u := range users {
		run("a good password\n", strings.Fields(string(u[1]))...)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(file(t, blocks(t, guide), "trackway.yaml")) {
		name, _, _ := strings.Cut(line, ":")
		old := regexp.MustCompile(`(?m)^(# )?` + name + `:.*\n(  .*\n)*`)
		if !old.Match(text) {
			t.Fatalf("the installed configuration has no line %s", name)
		}
		first := true
		text = old.ReplaceAllFunc(text, func(before []byte) []byte {
			if !first {
				return before
			}
			first = false
			return []byte(line)
		})
	}
	settings := strings.NewReplacer("tracking.example.com", acmeHost, `":80"`, `"`+web+`"`, "email: ops", `directory: "`+a.directory+`", email: ops`, `":443"`, `"`+listen+`"`).
		Replace(string(text))
	if err := os.WriteFile(config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "check")
	s := launch(t, dir, "--config", config)
	s.awaitReady(t)
	s.log.mayHold("no certificate from the authority")
	awaitPatiently(t, func() bool { return s.serial(t, a) != "" })
	pages := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.trusted, ServerName: acmeHost}}}
	for body, want := range map[string]int{
		`{"name":"ada","password":"a good password"}`: http.StatusOK,
		`{"name":"joe","password":"a good password"}`: http.StatusOK,
		`{"password":"a good password"}`:              http.StatusForbidden,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.public+"/grid/session", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := pages.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: got %s, want %d", body, res.Status, want)
		}
	}
}
