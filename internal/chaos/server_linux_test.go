package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trackway/internal/control/members"
	"trackway/internal/sleep"
)

// patience limits every wait. It does not measure speed: a test that reaches it
// fails.
const patience = 2 * time.Minute

// Each server listens for clients and operators on the loopback interface of
// its own namespace, so no fault of the network keeps clients away.
const (
	public = "127.0.0.1:8080"
	ops    = "127.0.0.1:9090"
)

// server is one server of a cluster, which may be down.
type server struct {
	*place

	t      testing.TB
	n      int    // from 1
	dir    string // its disk, with the configuration
	log    string // file
	web    *http.Client
	binary string
	clock  string // file with the seconds by which its clock is wrong; empty: it is right

	filled atomic.Bool // its disk is full, so it may show less than it has acknowledged

	cmd    *exec.Cmd     // the last one
	exited chan struct{} // closed when it has ended; nil: it was never started
}

func newServer(t testing.TB, p *place, n int, dir string) *server {
	t.Helper()
	transport := &http.Transport{
		DialContext: p.dial, MaxIdleConnsPerHost: 64, DisableCompression: true, ResponseHeaderTimeout: answerTime,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &server{place: p, t: t, n: n, dir: filepath.Join(dir, "disk"), log: filepath.Join(dir, "log"), web: &http.Client{Transport: transport}}
}

// answerTime is how long a client waits for an answer. After ten heartbeats
// there must be one.
const answerTime = 20 * time.Second

func (s *server) config() string { return filepath.Join(s.dir, "trackway.yaml") }

func (s *server) data() string { return filepath.Join(s.dir, "data") }

// files calls a function that works on the server's disk, which only its place
// sees.
func (s *server) files(f func() error) {
	s.t.Helper()
	var err error
	s.do(func() { err = f() })
	if err != nil {
		s.t.Fatal(err)
	}
}

// start starts the server, and does not wait for it.
func (s *server) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	level := "info"
	if *keepFlag != "" {
		level = "debug"
	}
	cmd := exec.Command(s.binary, "serve", "--config", s.config(), "--data", s.data(), "--listen", public, "--ops-listen", ops, "--log-format", "json", "--log-level", level)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), clockVariable+"="+s.clock)
	if err := errors.Join(s.place.start(cmd), log.Close()); err != nil {
		s.t.Fatal(err)
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // the fault that caused its end judges it
		close(exited)
	}(s.exited)
}

// running reports whether the server has not ended.
func (s *server) running() bool {
	if s.exited == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
}

// kill ends the server as a crash would.
func (s *server) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	<-s.exited
	s.web.CloseIdleConnections()
}

// stop ends the server in order.
func (s *server) stop() {
	s.t.Helper()
	s.signal(syscall.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(patience):
		s.t.Fatalf("server %d does not end", s.n)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		s.t.Fatalf("server %d ended with %d after SIGTERM:\n%s", s.n, code, s.tail())
	}
}

// empty removes the server's data.
func (s *server) empty() {
	s.t.Helper()
	s.files(func() error { return os.RemoveAll(s.data()) })
}

// tail returns the end of the server's log.
func (s *server) tail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	const room = 3 << 10
	return string(text[max(0, len(text)-room):])
}

// checkLog looks for what no fault permits.
func (s *server) checkLog() {
	s.t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		s.t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "bug: ") {
			s.t.Errorf("the log of server %d has %s", s.n, line)
		}
	}
}

// run runs trackway on the server.
func (s *server) run(ctx context.Context, out io.Writer, args ...string) error {
	var errs strings.Builder
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--config", s.config(), "--data", s.data())...)
	cmd.Stdout, cmd.Stderr = out, &errs
	err := s.place.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return fmt.Errorf("server %d: trackway %s: %w: %s", s.n, strings.Join(args, " "), err, errs.String())
	}
	return nil
}

// must runs trackway until it succeeds.
func (s *server) must(args ...string) {
	s.t.Helper()
	var last error
	s.eventually("trackway "+strings.Join(args, " "), func(ctx context.Context) bool {
		last = s.run(ctx, nil, args...)
		return last == nil
	}, func() string { return fmt.Sprint(last) })
}

// eventually waits until a condition holds.
func (s *server) eventually(what string, holds func(context.Context) bool, why func() string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for !holds(ctx) {
		if sleep.For(ctx, lookAgain) != nil {
			s.t.Fatalf("server %d: in vain: %s: %s\n%s", s.n, what, why(), s.tail())
		}
	}
}

const lookAgain = 50 * time.Millisecond

// get asks the operator's listener.
func (s *server) get(ctx context.Context, path string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ops+path, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	res, err := s.web.Do(req)
	if err != nil {
		return 0, nil, err
	}
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, errors.Join(err, res.Body.Close())
}

// status returns what the server knows of the cluster. With several partitions,
// it says who leads the last one, which has the project, and sums up how far
// all of them are.
func (s *server) status(ctx context.Context) (status members.Status, err error) {
	code, body, err := s.get(ctx, "/-/cluster")
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("%d %s", code, body)
	}
	if err == nil {
		err = json.Unmarshal(body, &status)
	}
	for i := range status.Partitions {
		p := &status.Partitions[i]
		if i == 0 {
			status.Applied, status.Last = 0, 0
		}
		for j := range p.Members { // it votes if it does in all of them
			for _, m := range status.Members {
				if m.Address == p.Members[j].Address && i > 0 {
					p.Members[j].Voter = p.Members[j].Voter && m.Voter
					p.Members[j].Differs = max(p.Members[j].Differs, m.Differs)
				}
			}
		}
		status.Applied, status.Last = status.Applied+p.Applied, status.Last+p.Last
		status.ID, status.Leader, status.Leading, status.Term, status.Members = p.ID, p.Leader, p.Leading, p.Term, p.Members
	}
	return status, err
}

// awaitReady waits until the server takes commands. It must not end.
func (s *server) awaitReady() {
	s.t.Helper()
	var code int
	var body []byte
	s.eventually("it is ready", func(ctx context.Context) bool {
		if !s.running() {
			s.t.Fatalf("server %d has ended with %v:\n%s", s.n, s.cmd.ProcessState, s.tail())
		}
		code, body, _ = s.get(ctx, "/-/ready") // without an answer, it is not
		return code == http.StatusOK
	}, func() string { return fmt.Sprintf("%d %s", code, body) })
}

// call makes a call of a client.
func (s *server) call(ctx context.Context, method, path, authorization string, body []byte) (int, []byte, error) {
	status, answer, _, err := s.callAt(ctx, method, path, authorization, "", body)
	return status, answer, err
}

// callAt makes a call with a position, which may be empty, and returns that of
// the answer, too.
func (s *server) callAt(ctx context.Context, method, path, authorization, position string, body []byte) (status int, answer []byte, at string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+public+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", authorization)
	if position != "" {
		req.Header.Set(positionHeader, position)
	}
	res, err := s.web.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, res.Header.Get(positionHeader), errors.Join(err, res.Body.Close())
}

const positionHeader = "Trackway-Position"
