package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBench runs the load of the real binary against the real server, which
// must keep its promise.
func TestBench(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	s.log.private("bench-")
	bench := func(args ...string) *exec.Cmd {
		return exec.Command(binary(t), append([]string{
			"bench", "--config", s.config, "--listen", s.public, "--connections", "8",
			"--json",
		}, args...)...)
	}
	type figures struct {
		Acknowledged, Events, Unanswered uint64
		Latency                          struct{ P50, P999 float64 } `json:"latency_ms"`
		Verified                         *struct{ Acknowledged, Stored, Missing uint64 }
	}
	for _, args := range [][]string{
		{"--duration", "1s", "--rate", "200", "--mix", "single=2,batch,merge", "--customers", "10"},
		{"--duration", "1s", "--batch", "20", "--mix", "batch"},
	} {
		var errs strings.Builder
		cmd := bench(args...)
		cmd.Stderr = &errs
		out, err := cmd.Output()
		var f figures
		if err != nil || json.Unmarshal(out, &f) != nil {
			t.Fatalf("%q: %v\n%s%s", args, err, out, &errs)
		}
		if f.Acknowledged == 0 || f.Verified == nil || f.Verified.Acknowledged != f.Events || f.Verified.Stored != f.Events ||
			f.Latency.P50 <= 0 || f.Latency.P999 < f.Latency.P50 {
			t.Errorf("%q: got %s", args, out)
		}
	}

	// After an interrupt, it prints the figures so far.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := bench("--duration", "1h")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.awaitTracked(ctx, t)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	var f figures
	if err := json.Unmarshal([]byte(out.String()), &f); err != nil || f.Acknowledged == 0 || f.Verified != nil {
		t.Errorf("interrupted: got %s, %v", &out, err)
	}
}

// awaitTracked waits until the server has accepted new requests in the last
// minute.
func (s *server) awaitTracked(ctx context.Context, t *testing.T) {
	t.Helper()
	accepted := func() uint64 {
		var status struct{ Accepted uint64 }
		if err := json.Unmarshal(s.do(t, request{path: "/api/status", header: from("203.0.113.200")}).body, &status); err != nil {
			t.Fatal(err)
		}
		return status.Accepted
	}
	ticks := time.NewTicker(1100 * time.Millisecond) // below the limit of /api/
	defer ticks.Stop()
	for before := accepted(); accepted() < before+50; {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			t.Fatal("the load does not begin")
		}
	}
}

// TestDoctor checks that doctor finds nothing wrong with a new server, and
// finds what breaks one.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	run := func(args ...string) (string, error) {
		out, err := exec.Command(binary(t), append([]string{
			"doctor", "--config", s.config, "--data", s.config + ".data", "--listen",
			s.public,
		}, args...)...).Output()
		return string(out), err
	}
	out, err := run("--ops-listen", s.ops)
	for _, want := range []string{
		"OK    server         " + serverName, "OK    forwarding     the server believes X-Forwarded-For from 127.0.0.1",
		"OK    ops listener", "OK    limits",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("got %v\n%s\nwant %q in it", err, out, want)
		}
	}
	if err != nil {
		t.Errorf("got %v\n%s", err, out)
	}
	out, err = run("--ops-listen", "127.0.0.1:1")
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "FAIL  ops listener") {
		t.Errorf("without an ops listener: got %v\n%s", err, out)
	}
}
