package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	project = "12345678-1234-1234-1234-123456789abc"
	token   = "public-token-of-the-benchmark"
)

// config is what the server has by default, with keys that are known here.
const config = `
trusted_proxies: [127.0.0.0/8, "::1/128"]
projects:
  - name: bench
    token: ` + project + `
    identifiers: {hard: [registered], soft: [cookie]}
    keys: [{name: web, kind: public, token: ` + token + `}]
limits:
  - {name: track, paths: [/track/], limit: 6000, window: 60s, per: ip}
  - {name: api, paths: [/api/, /data/], limit: 30, window: 30s, per: ip+path}
  - {name: grid, paths: [/grid/], limit: 15, window: 30s, per: ip}
`

// server is the running binary.
type server struct {
	cmd         *exec.Cmd
	public, ops string
}

func startServer(binary, dir string) *server {
	file := filepath.Join(dir, "trackway.yaml")
	must(os.WriteFile(file, []byte(config), 0o600))
	cmd := exec.Command(binary, "serve", "--config", file, "--data", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log-format", "json")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a run that fails
	out, err := cmd.StderrPipe()
	must(err)
	must(cmd.Start())
	s := &server{cmd: cmd}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var ready struct{ Msg, Public, Ops string }
		if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Msg == "ready" {
			s.public, s.ops = ready.Public, ready.Ops
			go io.Copy(os.Stderr, out)
			return s
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	log.Fatal("the server does not start")
	return nil
}

func (s *server) stop() {
	must(s.cmd.Process.Signal(syscall.SIGTERM))
	_ = s.cmd.Wait()
}

// processorTime is what the server's process has used. The kernel counts it in hundredths of a second.
func (s *server) processorTime() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	must(err)
	_, after, _ := strings.Cut(string(b), ") ") // behind the name, which may hold anything
	fields := strings.Fields(after)
	user, err := strconv.Atoi(fields[11])
	must(err)
	system, err := strconv.Atoi(fields[12])
	must(err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

func (s *server) profile(file string, length time.Duration) {
	res, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.ops, max(1, int(length.Seconds()))))
	must(err)
	defer res.Body.Close()
	f, err := os.Create(file)
	must(err)
	_, err = io.Copy(f, res.Body)
	must(err)
	must(f.Close())
}

// idle measures what share of the processors had nothing to do.
type idle struct{ idle, all int }

func startIdle() idle {
	b, err := os.ReadFile("/proc/stat")
	must(err)
	line, _, _ := strings.Cut(string(b), "\n")
	var i idle
	for at, field := range strings.Fields(line)[1:9] {
		n, err := strconv.Atoi(field)
		must(err)
		i.all += n
		if at == 3 || at == 4 { // idle, and waiting for a disk
			i.idle += n
		}
	}
	return i
}

func (i idle) share() float64 {
	now := startIdle()
	return float64(now.idle-i.idle) / float64(max(1, now.all-i.all))
}
