package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The project in the tests' configuration, and its keys. They are unlike any
// other text, so that the log can be searched for them.
const (
	projectToken = "12345678-1234-1234-1234-123456789abc"
	publicKey    = "public-key-7d1f0c52aa"
	privateID    = "private-id-0b9e6f41c3"
	secretKey    = "secret-key-e83a1795d4"
	serverName   = "e2e-1"
)

// patience limits every wait for a process. It does not measure speed: a test
// that reaches it fails.
const patience = 2 * time.Minute

const baseConfig = `
server: {name: ` + serverName + `, region: test}
trusted_proxies: [127.0.0.0/8, "::1/128"]
projects:
  - name: demo
    token: ` + projectToken + `
    identifiers: {hard: [registered], soft: [cookie]}
    personal: [email, phone, first_name, last_name]
    keys:
      - {name: web, kind: public, token: "` + publicKey + `"}
      - {name: backend, kind: private, id: "` + privateID + `", secret: "` + secretKey + `"}
`

// wideLimits are for tests that are not about limits.
const wideLimits = `
limits:
  - {name: track, paths: [/track/], limit: 4000000, window: 60s, per: ip}
  - {name: api, paths: [/api/, /data/], limit: 4000000, window: 30s, per: ip+path}
  - {name: grid, paths: [/grid/], limit: 4000000, window: 30s, per: ip}
`

// server is one running trackway.
type server struct {
	public, ops string // addresses
	config      string // file
	cmd         *exec.Cmd
	log         *serverLog
	exited      chan struct{} // closed once err is set
	err         error
}

// start runs a server with a new data directory until the end of the test.
func start(t *testing.T, config string) *server {
	t.Helper()
	return startIn(t, t.TempDir(), config)
}

// startIn runs a server with its configuration and data in dir.
func startIn(t *testing.T, dir, config string) *server {
	t.Helper()
	file := filepath.Join(dir, "trackway.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s := launch(t, dir, "--config", file, "--data", filepath.Join(dir, "data"))
	s.config = file
	s.awaitReady(t)
	return s
}

// launch starts `trackway serve` on free ports, and does not wait for it.
func launch(t *testing.T, dir string, args ...string) *server {
	t.Helper()
	return launchUnder(t, "", dir, args...)
}

// launchUnder is launch after a shell command, such as ulimit.
func launchUnder(t *testing.T, before, dir string, args ...string) *server {
	t.Helper()
	s := &server{
		log:    &serverLog{changed: make(chan struct{}, 1), hide: []string{publicKey, privateID, secretKey}},
		exited: make(chan struct{}),
	}
	line := []string{binary(t)}
	if before != "" {
		line = slices.Concat([]string{"sh", "-c", before + ` && exec "$0" "$@"`}, line)
	}
	line = slices.Concat(line, []string{
		"serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0",
		"--log-format", "json", "--log-level", "debug", // what a log could reveal at most
	}, args)
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Dir = dir
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // a stopped server is fine
		<-s.exited
		s.log.check(t)
	})
	return s
}

// awaitReady waits for the log line with the server's addresses.
func (s *server) awaitReady(t *testing.T) {
	t.Helper()
	s.awaitLog(t, "a line that says it is ready", func(text string) bool {
		for line := range strings.Lines(text) {
			var ready struct{ Msg, Public, Ops string }
			if json.Unmarshal([]byte(line), &ready) == nil && ready.Msg == "ready" {
				s.public, s.ops = ready.Public, ready.Ops
				return true
			}
		}
		return false
	})
}

// awaitLog waits until the server's log satisfies ok.
func (s *server) awaitLog(t *testing.T, what string, ok func(text string) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for !ok(s.log.all()) {
		select {
		case <-s.log.changed:
		case <-s.exited:
			t.Fatalf("the server ended (%v) without %s:\n%s", s.err, what, s.log)
		case <-ctx.Done():
			t.Fatalf("after %v there is not %s:\n%s", patience, what, s.log)
		}
	}
}

// kill ends the server as a power cut would, as far as the process can tell.
func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	<-s.exited
}

// stop asks the server to end and returns its exit status, which must come
// within the promised 10 s.
func (s *server) stop(t *testing.T) int {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	return s.await(t, 10*time.Second)
}

// await returns the exit status of a server that ends by itself.
func (s *server) await(t *testing.T, limit time.Duration) int {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.exited:
	case <-timer.C:
		t.Errorf("the server has not ended after %v", limit)
		s.kill(t)
	}
	return s.cmd.ProcessState.ExitCode()
}

// serverLog keeps what a server writes to its log and to its standard output.
type serverLog struct {
	changed chan struct{} // holds one element if there is unread text

	mu   sync.Mutex // guards what follows
	text bytes.Buffer
	hide []string // texts that must not be in the log
	may  []string // texts that permit an error in the log
}

func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

// private adds texts that must not be in the log.
func (l *serverLog) private(texts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hide = append(l.hide, texts...)
}

// mayHold permits errors that contain a text.
func (l *serverLog) mayHold(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.may = append(l.may, text)
}

func (l *serverLog) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// String returns the end of the log, as much as fits into a test's message.
func (l *serverLog) String() string {
	const room = 4 << 10
	text := l.all()
	return text[max(0, len(text)-room):]
}

// check checks that the log of every server in every test has no keys,
// customers, errors and panics.
func (l *serverLog) check(t *testing.T) {
	t.Helper()
	text := l.all()
	for _, private := range l.hide {
		if strings.Contains(text, private) {
			t.Errorf("the log holds %q:\n%s", private, l)
		}
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		wrong := strings.Contains(line, `"level":"ERROR"`) || strings.Contains(line, "panic") || strings.HasPrefix(line, "fatal error:")
		if wrong && !slices.ContainsFunc(l.may, func(text string) bool { return strings.Contains(line, text) }) {
			t.Errorf("the log holds an error: %s", line)
		}
	}
}
