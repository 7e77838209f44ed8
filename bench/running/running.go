// Package running runs the servers that are measured, and reads what they cost.
// If a step fails, the process ends with a message, because a benchmark without
// its server measures nothing.
package running

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// The project that the server has, its public key, and its private one.
const (
	Project = "12345678-1234-1234-1234-123456789abc"
	Token   = "public-token-of-the-benchmark"
	KeyID   = "private-key-of-the-benchmark"
	Secret  = "secret-of-the-private-key-of-the-benchmark"
)

const config = `
trusted_proxies: [127.0.0.0/8, "::1/128"]
projects:
%slimits:
  - {name: track, paths: [/track/], limit: %d, window: 60s, per: ip}
  - {name: api, paths: [/api/, /data/], limit: 30, window: 30s, per: ip+path}
  - {name: grid, paths: [/grid/], limit: 15, window: 30s, per: ip}
`

const project = `  - name: bench%[1]d
    token: %[2]s
    identifiers: {hard: [registered], soft: [cookie]}
    keys:
      - {name: web, kind: public, token: %[3]s}
      - {name: reader, kind: private, id: %[4]s, secret: %[5]s}
%[6]s`

// Projects is how many projects the servers have that are started.
var Projects = 1

// ProjectOf returns one of the projects, and its public key. The first one is
// [Project].
func ProjectOf(i int) (token, key string) {
	if i == 0 {
		return Project, Token
	}
	return fmt.Sprintf("%08d-1234-1234-1234-123456789abc", i), fmt.Sprint(Token, i)
}

// FsyncDelay lengthens every fsync(2) and fdatasync(2) of the servers that are
// started: a usual cloud disk takes 2 ms. It needs strace.
var FsyncDelay time.Duration

// Server is a running server, and the processes that belong to it.
type Server struct {
	Public, Ops string   // addresses
	OpsOf       []string // of all servers of a cluster

	cmds []*exec.Cmd // as they were started
}

// Start starts a binary of Trackway with its configuration and data in dir. An
// address may make limit calls a minute on the tracking API; 6000 is the
// default of a server. more is added to the configuration. The server ends with
// the thread that started it at the latest.
func Start(binary, dir string, limit int, more string) *Server {
	return StartWith(binary, dir, limit, "", more)
}

// StartWith does what [Start] does. settings are added to those of each
// project, indented by four spaces.
func StartWith(binary, dir string, limit int, settings, more string) *Server {
	s, lines := begin(binary, dir, limit, settings, more)
	for lines.Scan() {
		var ready struct{ Msg, Public, Ops string }
		if json.Unmarshal(lines.Bytes(), &ready) == nil && ready.Msg == "ready" {
			s.Public, s.Ops = ready.Public, ready.Ops
			s.OpsOf = []string{s.Ops}
			go func() {
				for lines.Scan() {
					tell(lines.Bytes())
				}
			}()
			return s
		}
		tell(lines.Bytes())
	}
	log.Fatal("the server does not start")
	return nil
}

// tell prints a line that a server logs, unless it is for information only:
// that would stand between our tables.
func tell(line []byte) {
	if !bytes.Contains(line, []byte(`"level":"INFO"`)) {
		fmt.Fprintf(os.Stderr, "%s\n", line)
	}
}

// begin starts a server, and returns what it logs.
func begin(binary, dir string, limit int, settings, more string) (*Server, *bufio.Scanner) {
	file := filepath.Join(dir, "trackway.yaml")
	projects := ""
	for i := range Projects {
		token, key := ProjectOf(i)
		projects += fmt.Sprintf(project, i, token, key, KeyID, Secret, settings)
	}
	must(os.WriteFile(file, fmt.Appendf(nil, config+"%s", projects, limit, more), 0o600))
	cmd := Command(binary, "serve", "--config", file, "--data", filepath.Join(dir, "data"),
		"--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log-format", "json")
	pipe, err := cmd.StderrPipe()
	must(err)
	must(cmd.Start())
	confine(cmd.Process.Pid)
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 16<<20) // after a longer line the server would wait for a reader
	return &Server{cmds: []*exec.Cmd{cmd}}, lines
}

// Command is a command whose process does not outlive the thread that starts
// it, not even if a run fails. Its syncs take longer by [FsyncDelay].
func Command(name string, args ...string) *exec.Cmd {
	if FsyncDelay > 0 {
		delay := fmt.Sprintf("inject=fsync,fdatasync:delay_enter=%d", FsyncDelay.Microseconds())
		// The tracer is a child of the server (-D). It stops it at these calls
		// only (--seccomp-bpf).
		args = append([]string{"-D", "-f", "-q", "-o", os.DevNull, "--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-e", delay, name}, args...)
		name = "strace"
	}
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Stop ends the server.
func (s *Server) Stop() {
	for _, cmd := range slices.Backward(s.cmds) {
		must(cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		release(cmd.Process.Pid)
	}
}

// Pid returns the number of the server's process.
func (s *Server) Pid() int { return s.cmds[len(s.cmds)-1].Process.Pid }

// Kill ends the server by kill -9, and all that belongs to it.
func (s *Server) Kill() {
	for _, cmd := range s.cmds {
		must(cmd.Process.Kill())
		_ = cmd.Wait()
		release(cmd.Process.Pid)
	}
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
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", name, "./cmd/trackway")
	cmd.Dir, cmd.Stderr = strings.TrimSpace(string(root)), os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // with it, the storage engine has other memory
	must(cmd.Run())
	return name
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
