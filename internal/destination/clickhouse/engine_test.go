package clickhouse_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"trackway/internal/config"
	"trackway/internal/destination/clickhouse"
	"trackway/internal/porttest"
	"trackway/internal/prereq"
)

const user, password = "trackway", "s3cret-pa55"

// engine is a process with ClickHouse's engine behind HTTP: see
// testdata/server.py.
type engine struct {
	tb     testing.TB
	folder string
	port   string
	cmd    *exec.Cmd
}

func python(tb testing.TB) string {
	tb.Helper()
	path, err := filepath.Abs("testdata/.venv/bin/python")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		prereq.Missing(tb, prereq.ClickHouse, "`tools/install-partners clickhouse` installs ClickHouse's engine into "+path)
	}
	return path
}

// startEngine starts an engine that ends with the test.
func startEngine(tb testing.TB) *engine {
	tb.Helper()
	port, err := porttest.Free() // it has the same one when it is started again
	if err != nil {
		tb.Fatal(err)
	}
	e := &engine{tb: tb, folder: filepath.Join(tb.TempDir(), "engine"), port: strconv.Itoa(port)}
	e.start()
	tb.Cleanup(e.kill)
	return e
}

func (e *engine) start() {
	e.tb.Helper()
	cmd := exec.Command(python(e.tb), "testdata/server.py", e.folder, e.port, user, password)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		e.tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		e.tb.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		e.tb.Fatalf("the engine did not start: %v", err)
	}
	if e.cmd = cmd; e.port == "0" {
		e.port = strings.TrimSpace(line)
	}
}

// kill ends the engine as a power cut of its process would.
func (e *engine) kill() {
	if e.cmd != nil {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Wait()
		e.cmd = nil
	}
}

func (e *engine) url() string { return "http://127.0.0.1:" + e.port }

// query runs a statement without the sink, and returns the rows of its result,
// separated by tabs. It fails the test if the statement fails.
func (e *engine) query(format string, args ...any) string {
	e.tb.Helper()
	answer, err := e.ask(fmt.Sprintf(format, args...), nil)
	if err != nil {
		e.tb.Fatal(err)
	}
	return answer
}

func (e *engine) ask(statement string, parameters url.Values) (string, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, e.url()+"/?"+parameters.Encode(), strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Clickhouse-User", user)
	req.Header.Set("X-Clickhouse-Key", password)
	resp, err := http.DefaultClient.Do(req) //nolint:forbidigo // a test
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", statement, body)
	}
	return strings.TrimSuffix(string(body), "\n"), err
}

// Most tests share this engine. Each test has a database of its own.
var shared struct {
	sync.Mutex

	engine *engine
	folder string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.engine != nil {
		shared.engine.kill()
		_ = os.RemoveAll(shared.folder)
	}
	os.Exit(code)
}

var databases atomic.Int32

// open returns the shared engine and the name of a new database.
func open(tb testing.TB) (*engine, string) {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.engine == nil {
		python(tb)
		folder, err := os.MkdirTemp("", "clickhouse") //nolint:usetesting // it outlives the test
		if err != nil {
			tb.Fatal(err)
		}
		shared.folder, shared.engine = folder, &engine{tb: tb, folder: folder, port: "0"}
		shared.engine.start()
	}
	e := *shared.engine
	e.tb = tb
	database := fmt.Sprintf("test_%d", databases.Add(1))
	tb.Cleanup(func() { _, _ = e.ask("DROP DATABASE IF EXISTS "+database+" SYNC", nil) })
	return &e, database
}

// settingsOf returns the settings of a destination in a database.
func settingsOf(address, database string) config.Destination {
	return config.Destination{Name: "warehouse", Kind: "clickhouse", URL: address, User: user, Password: password, Prefix: database}
}

func newSink(tb testing.TB, d config.Destination) *clickhouse.Sink {
	tb.Helper()
	s, err := clickhouse.New(d)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// proxy stands between a sink and an engine. It can answer in the engine's
// place, change requests, and lose answers.
type proxy struct {
	url string

	mu     sync.Mutex // guards what follows, and is held during the calls
	before func(w http.ResponseWriter, r *http.Request, query string) (answered bool)
	lose   func(query string) bool // the answer is not passed on
}

func newProxy(tb testing.TB, e *engine) *proxy {
	tb.Helper()
	p := &proxy{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, e) }))
	tb.Cleanup(s.Close)
	p.url = s.URL
	return p
}

// set replaces what the proxy does.
func (p *proxy) set(before func(http.ResponseWriter, *http.Request, string) bool, lose func(string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.lose = before, lose
}

func (p *proxy) serve(w http.ResponseWriter, r *http.Request, e *engine) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	query := r.URL.Query().Get("query")
	if query == "" {
		query = string(body)
	}
	if p.answered(w, r, query) {
		return
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, e.url()+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	req.Header = r.Header
	resp, err := http.DefaultTransport.RoundTrip(req) //nolint:forbidigo // a test
	if err != nil || p.loses(query) {
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	defer resp.Body.Close()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

func (p *proxy) answered(w http.ResponseWriter, r *http.Request, query string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.before != nil && p.before(w, r, query)
}

func (p *proxy) loses(query string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lose != nil && p.lose(query)
}

// refuse answers as ClickHouse does with an exception.
func refuse(w http.ResponseWriter, code int, text string) {
	w.Header().Set("X-Clickhouse-Exception-Code", strconv.Itoa(code))
	w.WriteHeader(http.StatusInternalServerError)
	_, _ = fmt.Fprintf(w, "Code: %d. DB::Exception: %s (version 26.9.2.1)", code, text)
}
