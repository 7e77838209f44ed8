// Package running runs the real server for a benchmark, and reads what it
// costs. A failure of any step ends the process with a message: a benchmark
// that goes on without its server measures nothing.
package running

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

// The project that the server has, and its public key.
const (
	Project = "12345678-1234-1234-1234-123456789abc"
	Token   = "public-token-of-the-benchmark"
)

const config = `
trusted_proxies: [127.0.0.0/8, "::1/128"]
projects:
  - name: bench
    token: ` + Project + `
    identifiers: {hard: [registered], soft: [cookie]}
    keys: [{name: web, kind: public, token: ` + Token + `}]
limits:
  - {name: track, paths: [/track/], limit: %d, window: 60s, per: ip}
  - {name: api, paths: [/api/, /data/], limit: 30, window: 30s, per: ip+path}
  - {name: grid, paths: [/grid/], limit: 15, window: 30s, per: ip}
`

// Server is the running binary.
type Server struct {
	Public, Ops string // addresses

	cmd *exec.Cmd
}

// Start starts a binary with its configuration and data in dir. An address may
// make limit calls a minute on the tracking API; 6000 is the default of a
// server. The server ends with the thread that started it at the latest.
func Start(binary, dir string, limit int) *Server {
	file := filepath.Join(dir, "trackway.yaml")
	must(os.WriteFile(file, fmt.Appendf(nil, config, limit), 0o600))
	cmd := exec.Command(binary, "serve", "--config", file, "--data", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log-format", "json")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it must not outlive a run that fails
	out, err := cmd.StderrPipe()
	must(err)
	must(cmd.Start())
	s := &Server{cmd: cmd}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var ready struct{ Msg, Public, Ops string }
		if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Msg == "ready" {
			s.Public, s.Ops = ready.Public, ready.Ops
			go io.Copy(os.Stderr, out)
			return s
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	log.Fatal("the server does not start")
	return nil
}

// Stop ends the server and returns what the system knows of its process.
func (s *Server) Stop() *os.ProcessState {
	must(s.cmd.Process.Signal(syscall.SIGTERM))
	_ = s.cmd.Wait()
	return s.cmd.ProcessState
}

// Pid returns the number of the server's process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// ProcessorTime returns the processor time that the server's process has used.
// The kernel counts it in hundredths of a second.
func (s *Server) ProcessorTime() time.Duration {
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

// Profile saves a CPU profile of the server.
func (s *Server) Profile(file string, length time.Duration) {
	res, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.Ops, max(1, int(length.Seconds()))))
	must(err)
	defer res.Body.Close()
	f, err := os.Create(file)
	must(err)
	_, err = io.Copy(f, res.Body)
	must(err)
	must(f.Close())
}

// Build builds the server from the module that this one replaces, into dir, and
// returns its path.
func Build(dir string) string {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "trackway").Output()
	must(err)
	name := filepath.Join(dir, "trackway")
	cmd := exec.Command("go", "build", "-o", name, "./cmd/trackway")
	cmd.Dir, cmd.Stderr = strings.TrimSpace(string(root)), os.Stderr
	must(cmd.Run())
	return name
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
