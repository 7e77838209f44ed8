package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// crowd is a number of connections that send nothing more.
type crowd struct{ conns []net.Conn }

// gather opens n connections, each from an address of its own. Each sends a
// text, and waits for an answer if the text is a complete request. The server
// may refuse some of them.
func gather(t *testing.T, s *server, n int, text string) *crowd {
	t.Helper()
	c := new(crowd)
	t.Cleanup(c.leave)
	whole := strings.HasSuffix(text, "\r\n\r\n")
	for i := range n {
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}}
		conn, err := d.DialContext(t.Context(), "tcp", s.public)
		if err != nil {
			t.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, text); err != nil || !whole {
			continue // it was refused
		}
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			_ = res.Body.Close()
		}
	}
	return c
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

// halfHeader is 30 kB of an incomplete header.
var halfHeader = "GET /api/status HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 990)+"\r\n", 30)

const (
	unlimited    = "limits:\n  - {name: api, paths: [/api/], limit: 4000000, window: 30s, per: ip}\n"
	wholeRequest = "GET /api/status HTTP/1.1\r\nHost: x\r\n\r\n"
)

// manyConnections returns how many connections a test can open here.
func manyConnections(t *testing.T) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return min(3000, int(l.Cur)/3)
}

// TestMemoryOfConnections: whatever connections come, the process stays below
// the configured memory limit.
func TestMemoryOfConnections(t *testing.T) {
	t.Parallel()
	const figure = 128e6
	s := start(t, baseConfig+unlimited+"memory: {max_mb: 128}\n")
	if got := s.metric(t, `trackway_memory_bound_bytes{part="all"}`); got != figure {
		t.Errorf("the figure is %v, want %v", got, figure)
	}
	bound := s.metric(t, "trackway_connections_bound")
	n := manyConnections(t)
	for _, text := range []string{wholeRequest, halfHeader, ""} {
		c := gather(t, s, n, text)
		if open := s.metric(t, "trackway_connections_open"); open > bound {
			t.Errorf("%v connections are open, of %v", open, bound)
		}
		if status, _ := get(t, s.ops, "/-/ready"); status != http.StatusOK {
			t.Errorf("the operator's listener answers %d", status)
		}
		c.leave()
	}
	if float64(n) > bound && s.metric(t, `trackway_connections_closed_total{reason="idle"}`) == 0 {
		t.Error("no idle connection was closed")
	}
	peak := s.peakMemory(t)
	t.Logf("at most %v connections, %.0f MB", bound, peak/1e6)
	if peak > figure {
		t.Errorf("the process took %v bytes, more than %v", peak, figure)
	}
}

// TestFewFiles: the server tracks and answers its operator, however few files
// it may open and however many connections come.
func TestFewFiles(t *testing.T) {
	t.Parallel()
	for _, files := range []int{256, 1024} {
		t.Run(strconv.Itoa(files), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "trackway.yaml")
			if err := os.WriteFile(file, []byte(baseConfig+unlimited), 0o600); err != nil {
				t.Fatal(err)
			}
			s := launchUnder(t, fmt.Sprintf("ulimit -n %d", files), dir, "--config", file, "--data", filepath.Join(dir, "data"))
			s.awaitReady(t)
			gather(t, s, files+100, wholeRequest)
			for i := range 10 {
				s.track(t, "customers/events", map[string]any{"customer_ids": map[string]any{"registered": "crowded"}, "event_type": "e", "timestamp": i + 1})
			}
			if got := s.exportOne(t, map[string]any{"registered": "crowded"}); got == nil || len(got.Events) != 10 {
				t.Errorf("got %+v, want ten events", got)
			}
			if status, _ := get(t, s.ops, "/-/ready"); status != http.StatusOK {
				t.Errorf("the operator's listener answers %d", status)
			}
			if n := s.metric(t, `trackway_connections_refused_total{reason="failed"}`); n != 0 {
				t.Errorf("%v connections could not be accepted: the files do not suffice", n)
			}
			if status := s.stop(t); status != 0 {
				t.Errorf("got exit status %d, want 0", status)
			}
		})
	}
}

// TestConnectionsOfAddress: one address cannot open more than its share of
// connections. Others can open theirs.
func TestConnectionsOfAddress(t *testing.T) {
	t.Parallel()
	const trusting = `trusted_proxies: [127.0.0.0/8, "::1/128"]`
	s := start(t, strings.Replace(baseConfig, trusting, `trusted_proxies: ["127.0.0.1"]`, 1)+"connections: {max: 0, per_address: 3}\n")
	from := func(addr net.IP) (ok bool) {
		d := net.Dialer{Timeout: patience, LocalAddr: &net.TCPAddr{IP: addr}}
		conn, err := d.DialContext(t.Context(), "tcp", s.public)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		// A connection whose request still waits for its body is in use, and is
		// not closed to make room.
		_, err = io.WriteString(conn, "POST /track/v2/projects/"+projectToken+"/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Token "+publicKey+
			"\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
		if err != nil {
			return false
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		return strings.Contains(line, " 100 ")
	}
	for i, want := range []bool{true, true, true, false, false} {
		if got := from(net.IPv4(127, 0, 0, 2)); got != want {
			t.Errorf("connection %d: got %v, want %v", i, got, want)
		}
	}
	if !from(net.IPv4(127, 0, 0, 3)) {
		t.Error("another address is turned away")
	}
	for range 6 {
		if !from(net.IPv4(127, 0, 0, 1)) {
			t.Error("a trusted proxy is turned away")
		}
	}
	s.configure(t, strings.Replace(baseConfig, trusting, `trusted_proxies: ["127.0.0.1"]`, 1)+"connections: {max: 0, per_address: 4}\n")
	s.reload(t, http.StatusOK, "reloaded")
	if !from(net.IPv4(127, 0, 0, 2)) {
		t.Error("a reload did not change the bound")
	}
}

// TestStopDoesNotWait: a stop does not wait for bytes that do not come, and
// loses no request that does.
func TestStopDoesNotWait(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig+wideLimits)
	dial := func(text string) net.Conn {
		conn, err := net.Dial("tcp", s.public)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	const event = `{"customer_ids":{"registered":"last"},"event_type":"e","timestamp":1}`
	head := "POST /track/v2/projects/" + projectToken + "/customers/events HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + publicKey + "\r\n"
	half := fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(event)) + event[:20]
	dial("")                                               // nothing
	dial(head)                                             // half a header
	dial(half)                                             // half a body
	dial(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n") // a chunk that never comes
	dial(wholeRequest)                                     // idle
	dial(strings.Replace(half, publicKey, "wrong", 1))     // answered, but its body is still missing
	// This one makes progress: its body comes while the server stops.
	moving := dial(half)
	in := bufio.NewReader(moving)
	// The server has read all of them, though not answered all.
	s.awaitMetric(t, "trackway_connections_open", 7)
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(moving, event[20:]); err != nil {
		t.Error(err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("a request that came whole is not answered: %v", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("got %d, want 200", res.StatusCode)
	}
	if status := s.await(t, 10*time.Second); status != 0 {
		t.Errorf("got exit status %d after %v, want 0", status, time.Since(began))
	}
	for _, wrong := range []string{"deadline exceeded", "are cut off"} {
		if strings.Contains(s.log.all(), wrong) {
			t.Errorf("the log holds %q: %s", wrong, s.log)
		}
	}
}

// TestBothLengths: a request with both Content-Length and Transfer-Encoding is
// the last one on its connection (RFC 9112 section 6.1).
func TestBothLengths(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	conn, err := net.Dial("tcp", s.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /track/v2/projects/"+projectToken+"/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Token "+publicKey+
		"\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+wholeRequest)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn) // to the end
	if n := bytes.Count(all, []byte("HTTP/1.1 ")); err != nil || n != 1 || !bytes.Contains(all, []byte("\r\nConnection: close\r\n")) {
		t.Errorf("got %d answers, %v: %s", n, err, all)
	}
}

// TestForeignReload: a page of another site cannot reload the server.
func TestForeignReload(t *testing.T) {
	t.Parallel()
	s := start(t, baseConfig)
	for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.ops+"/-/reload", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(name, value)
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Errorf("%s: got %d, want 403", name, res.StatusCode)
		}
	}
	s.reload(t, http.StatusOK, "reloaded")
}

// metric returns the value of a metric, given by its name and, if it has one,
// its label.
func (s *server) metric(t *testing.T, name string) float64 {
	t.Helper()
	status, text := get(t, s.ops, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got %d", status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// awaitMetric waits until a metric has reached a value.
func (s *server) awaitMetric(t *testing.T, name string, want float64) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); s.metric(t, name) < want; <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("after %v %s has not reached %v", patience, name, want)
		}
	}
}

// peakMemory returns the peak memory of the process, in bytes (proc(5)).
func (s *server) peakMemory(t *testing.T) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Skipf("the kernel does not tell: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib * 1024
		}
	}
	t.Fatal("the kernel tells no VmHWM")
	return 0
}

// TestStopEndsStreams: a stop does not wait for anything that lasts: the
// operator's commands, a profile, HTTP/2 requests, a long answer that nobody
// reads.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certify(t, dir, 1, time.Now().Add(90*24*time.Hour))
	s := startIn(t, dir, "tls: {cert: cert.pem, key: key.pem}\n"+baseConfig+wideLimits)
	open := func(network, addr, text string) net.Conn {
		conn, err := new(net.Dialer).DialContext(t.Context(), network, addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	socket := filepath.Join(dir, "data", "control.sock")
	began := open("unix", socket, "POST /import HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n{")
	tail := open("unix", socket, "GET /tail HTTP/1.1\r\nHost: x\r\n\r\n")
	profile := open("tcp", s.ops, "GET /debug/pprof/trace?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
	for conn, want := range map[net.Conn]string{began: " 100 ", tail: " 200 ", profile: " 200 "} { // read or answered
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	body, more := io.Pipe()
	defer more.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.public+"/track/v2/projects/"+projectToken+"/batch", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Token "+publicKey)
	h2 := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer h2.CloseIdleConnections()
	ended := make(chan error, 1)
	go func() {
		res, err := h2.RoundTrip(req)
		if err == nil {
			err = res.Body.Close()
		}
		ended <- err
	}()
	if _, err := io.WriteString(more, `{"commands":[`); err != nil { // the transport has taken it
		t.Fatal(err)
	}
	s.awaitMetric(t, "trackway_connections_open", 1)
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	_ = more.Close()
	if err := <-ended; err == nil {
		t.Error("a request of which half came was answered")
	}
	for _, wrong := range []string{"deadline exceeded", "are cut off", "not stopped cleanly"} {
		if strings.Contains(s.log.all(), wrong) {
			t.Errorf("the log holds %q: %s", wrong, s.log)
		}
	}
}
