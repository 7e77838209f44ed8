// Package postgrestest runs a PostgreSQL server for tests: a real one, in a
// directory of its own, on a free port of the loopback interface. The server
// does not run as root, and can be killed and started again.
package postgrestest

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

// Server is a running server. Its superuser is postgres.
type Server struct {
	Port int

	bin  string // the directory of the programs
	dir  string
	as   *syscall.Credential // nil: as we are
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended

	mu        sync.Mutex // guards databases
	databases int
}

// Start starts a server, which stops when the test ends. It skips the test if
// PostgreSQL is not installed. settings are lines of postgresql.conf.
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s, err := New(settings...)
	if err != nil {
		if s == nil {
			prereq.Missing(tb, prereq.Postgres, err.Error())
		}
		tb.Fatal(err)
	}
	tb.Cleanup(s.Stop)
	return s
}

// New starts a server that the caller stops. If PostgreSQL is not installed, it
// returns an error and no server.
func New(settings ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "trackway-postgres-"); err != nil {
		return s, err
	}
	if os.Getuid() == 0 { // initdb refuses root
		if err := s.becomeSomebody(); err != nil {
			return s, err
		}
	}
	initdb := s.command("initdb", "-D", s.data(), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", filepath.Join(s.dir, "password"),
		"-E", "UTF8", "--locale", "C", "--no-sync")
	if err := os.WriteFile(filepath.Join(s.dir, "password"), []byte(Password), 0o644); err != nil { //nolint:gosec // another user reads it
		return s, err
	}
	if out, err := initdb.CombinedOutput(); err != nil {
		return s, fmt.Errorf("initdb: %w: %s", err, out)
	}
	conf := append([]string{
		"listen_addresses = '127.0.0.1'", "unix_socket_directories = '" + s.dir + "'", "shared_buffers = 32MB", "max_connections = 30",
		"max_wal_size = 512MB", "jit = off",
	}, settings...)
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return s, err
	}
	_, err = fmt.Fprintln(f, strings.Join(conf, "\n"))
	if err2 := f.Close(); err != nil || err2 != nil {
		return s, fmt.Errorf("write the configuration: %w, %w", err, err2)
	}
	return s, s.Run()
}

// Password is the superuser's.
const Password = "the superuser's secret"

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// programs returns the directory of the newest installed server. Debian does
// not put it on the PATH.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("no initdb on the path, and none in /usr/lib/postgresql: %w", fs.ErrNotExist)
	}
	return filepath.Dir(all[len(all)-1]), nil
}

// becomeSomebody makes an unprivileged user the owner of the directory.
func (s *Server) becomeSomebody() error {
	who, err := user.Lookup("postgres")
	if err != nil {
		if who, err = user.Lookup("nobody"); err != nil {
			return err
		}
	}
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return err
	}
	s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(s.dir, uid, gid)
}

// command returns a command that runs one of the server's programs. It does not
// end with a test's context, because the server must be stopped in an orderly
// way.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(s.bin, name), args...) //nolint:gosec // a program of the server
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "PGPASSWORD=" + Password, "PGCONNECT_TIMEOUT=10"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// Run starts the server, after New or after Kill, and waits until it answers.
func (s *Server) Run() error {
	var problem error
	for range 60 {
		if s.Port == 0 {
			port, err := porttest.Free()
			if err != nil {
				return err
			}
			s.Port = port
		}
		var out bytes.Buffer
		s.cmd, s.gone = s.command("postgres", "-D", s.data(), "-p", strconv.Itoa(s.Port)), make(chan struct{})
		s.cmd.Stderr = &out
		if err := s.cmd.Start(); err != nil {
			return err
		}
		go func() {
			defer close(s.gone)
			_ = s.cmd.Wait()
		}()
		if s.answers() {
			return nil
		}
		<-s.gone
		problem = fmt.Errorf("the server does not start: %s", out.Bytes())
		if strings.Contains(out.String(), "Address already in use") && s.databases == 0 {
			s.Port = 0 // somebody was faster
		}
	}
	return problem
}

// answers waits until the server answers, and reports false if it has ended.
func (s *Server) answers() bool {
	for {
		if _, err := s.psql(s.URL("postgres"), "SELECT 1"); err == nil {
			return true
		}
		select {
		case <-s.gone:
			return false
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Kill kills the server and all its processes. This is like a power cut, except
// that the file system keeps what was written. Run starts the server again.
func (s *Server) Kill() {
	children := s.children()
	_ = s.cmd.Process.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.gone
}

// KillBackends kills the processes that serve connections. The server notices,
// ends all other processes, and recovers.
func (s *Server) KillBackends(tb testing.TB) {
	tb.Helper()
	for _, row := range s.SQL(tb, "postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()") {
		pid, err := strconv.Atoi(row[0])
		if err != nil || pid <= 1 {
			tb.Fatalf("a process %q: %v", row[0], err)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// children returns the processes of the server, except the first.
func (s *Server) children() []int {
	parent := strconv.Itoa(s.cmd.Process.Pid)
	var pids []int
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range all {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(stat), ") ") // after the name: the state and the parent
		if f := strings.Fields(rest); len(f) > 1 && f[1] == parent {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// Stop stops the server and removes its directory.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		<-s.gone
	}
	_ = os.RemoveAll(s.dir)
}

// URL returns the URL of a database for the superuser.
func (s *Server) URL(database string) string {
	return s.url("postgres", Password, s.Port, database)
}

func (s *Server) url(user, password string, port int, database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Database is a database that belongs to a role without further rights.
type Database struct {
	Name, Role, Password string

	server *Server
}

// Database creates an empty database and its owner. The name, role and password
// contain characters that need quoting.
func (s *Server) Database(tb testing.TB) *Database {
	tb.Helper()
	s.mu.Lock()
	s.databases++
	n := s.databases
	s.mu.Unlock()
	d := &Database{fmt.Sprintf("ware \"house %d", n), fmt.Sprintf("tracker's %d", n), fmt.Sprintf("pa:ss@wo/rd %d", n), s}
	s.SQL(tb, "postgres", fmt.Sprintf(`CREATE ROLE "%s" LOGIN PASSWORD '%s'`, d.Role, d.Password))
	s.SQL(tb, "postgres", fmt.Sprintf(`CREATE DATABASE "%s" OWNER "%s"`, strings.ReplaceAll(d.Name, `"`, `""`), d.Role))
	s.SQL(tb, d.Name, fmt.Sprintf(`ALTER SCHEMA public OWNER TO "%s"`, d.Role))
	return d
}

// URL returns the owner's URL of the database.
func (d *Database) URL() string { return d.At(d.server.Port) }

// At returns the owner's URL of the database at another port of the loopback
// interface, such as that of a proxy.
func (d *Database) At(port int) string { return d.server.url(d.Role, d.Password, port, d.Name) }

// SQL runs statements in the database, as the superuser.
func (d *Database) SQL(tb testing.TB, statements string) [][]string {
	tb.Helper()
	return d.server.SQL(tb, d.Name, statements)
}

// Try runs statements in the database as its owner and returns psql's error.
func (d *Database) Try(statements string) ([][]string, error) {
	return d.server.psql(d.URL(), statements)
}

// SQL runs statements with psql, as the superuser, and returns the rows.
func (s *Server) SQL(tb testing.TB, database, statements string) [][]string {
	tb.Helper()
	rows, err := s.psql(s.URL(database), statements)
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}

func (s *Server) psql(database, statements string) ([][]string, error) {
	cmd := s.command("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--csv", "-t", "-d", database)
	cmd.Stdin = strings.NewReader(statements)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("psql: %w: %s", err, stderr.Bytes())
	}
	r := csv.NewReader(bytes.NewReader(out))
	r.FieldsPerRecord = -1
	rows, err := r.ReadAll()
	return slices.Clip(rows), err
}

// Await waits until a query returns one row with one value.
func (d *Database) Await(tb testing.TB, query, want string) {
	tb.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		rows := d.SQL(tb, query)
		if len(rows) == 1 && rows[0][0] == want {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("%s: still %v, want %s", query, rows, want)
		}
		<-time.After(20 * time.Millisecond) // another process is awaited
	}
}

// Hold takes an advisory lock in a session of its own and returns a function
// that releases it.
func (d *Database) Hold(tb testing.TB, lock int) (release func()) {
	tb.Helper()
	cmd := d.server.command("psql", "-X", "-q", "-t", "-A", "-d", d.server.URL(d.Name))
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	if _, err := fmt.Fprintf(in, "SELECT pg_advisory_lock(%d);\n", lock); err != nil {
		tb.Fatal(err)
	}
	d.Await(tb, fmt.Sprintf("SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = current_database() AND locktype = 'advisory' AND objid = %d AND granted", lock), "1")
	return sync.OnceFunc(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
}
