package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// attackTime is how long TestAttack attacks. A minute shows most effects. To
// see what other callers experience: go test -run TestAttack -attack 1m -v
var attackTime = flag.Duration("attack", 5*time.Second, "length of the attack of TestAttack")

const (
	attackers    = 8
	wellBehaved  = 20
	idleEach     = 1250 // connections that one attacker tries to hold in each state
	pausedBodies = 1024 // requests of one attacker without their bodies
	memoryFigure = 700  // MB: the configured limit
	cgroupLimit  = 1 << 30
)

// TestAttack attacks the real binary from eight addresses at once, in ways that
// used to break servers: bodies that grow when they are decompressed and
// decoded, requests whose bodies never come, and idle and unfinished
// connections. The machine limits the server to 1 GiB. The server must stay
// below its memory limit, and answer twenty callers at other addresses as
// usual.
func TestAttack(t *testing.T) { // not parallel: it takes the machine
	s := start(t, baseConfigTrusting("[]")+fmt.Sprintf("\nmemory: {max_mb: %d}\n", memoryFigure))
	limitMemory(t, s)

	callers := newCallers()
	quiet := s.behaveWell(t, callers, *attackTime)
	stop := s.startAttack(t)
	before := s.processorTime(t)
	during := s.behaveWell(t, callers, *attackTime)
	used := s.processorTime(t) - before
	t.Logf("processor time in %v: server %v, attackers %v", *attackTime, used, stop())

	for name, f := range map[string]felt{"before": quiet, "during": during} {
		t.Logf("%s the attack: %d calls, p50 %v, p99 %v, failures %v", name, len(f.times), f.at(50), f.at(99), f.failures)
	}
	t.Logf("p99 during ÷ before: %.2f", float64(during.at(99))/float64(quiet.at(99)))
	if len(during.failures) > 0 {
		t.Errorf("%d calls of others failed: %v", len(during.failures), during.failures[0])
	}
	peak := s.peakMemory(t) / (1 << 20)
	t.Logf("the server took %.0f MB at most, its figure is %d", peak, memoryFigure)
	if peak > memoryFigure {
		t.Errorf("that is more than its figure")
	}
	s.track(t, "customers", map[string]any{"customer_ids": map[string]any{"registered": "afterwards"}})
	for _, web := range callers {
		web.CloseIdleConnections()
	}
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d, want 0:\n%s", status, s.log)
	}
}

// baseConfigTrusting is baseConfig with other trusted proxies.
func baseConfigTrusting(proxies string) string {
	return strings.Replace(baseConfig, `[127.0.0.0/8, "::1/128"]`, proxies, 1)
}

// limitMemory puts the server into a control group of 1 GiB, if this machine
// allows that. The peak is checked in any case.
func limitMemory(t *testing.T, s *server) {
	t.Helper()
	group := filepath.Join("/sys/fs/cgroup/memory", fmt.Sprintf("trackway-%d", os.Getpid()))
	limit, procs := "memory.limit_in_bytes", "cgroup.procs"
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		group, limit = filepath.Join("/sys/fs/cgroup", filepath.Base(group)), "memory.max"
	}
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Logf("no control group: %v", err)
		return
	}
	t.Cleanup(func() {
		s.kill(t)
		_ = os.Remove(group)
	})
	err := os.WriteFile(filepath.Join(group, limit), strconv.AppendInt(nil, cgroupLimit, 10), 0)
	err = errors.Join(err, os.WriteFile(filepath.Join(group, procs), strconv.AppendInt(nil, int64(s.cmd.Process.Pid), 10), 0))
	if err != nil {
		t.Logf("no limit of the control group: %v", err)
	}
}

// felt is what well-behaved callers experienced.
type felt struct {
	times    []time.Duration // sorted
	failures []string
}

func (f felt) at(percent int) time.Duration { return f.times[len(f.times)*percent/100] }

// newCallers returns the clients of twenty callers, each at an address of its
// own.
func newCallers() (callers []*http.Client) {
	for i := range wellBehaved {
		callers = append(callers, &http.Client{
			Transport: &http.Transport{DialContext: dialerFrom(fmt.Sprintf("127.0.1.%d", i+1)).DialContext}, Timeout: patience,
		})
	}
	return callers
}

// behaveWell makes callers send an event five times a second, and read their
// customer now and then.
func (s *server) behaveWell(t *testing.T, callers []*http.Client, length time.Duration) felt {
	t.Helper()
	var mu sync.Mutex
	var all felt
	var running sync.WaitGroup
	for i, web := range callers {
		running.Go(func() {
			f := s.caller(t.Context(), web, i, length)
			mu.Lock()
			defer mu.Unlock()
			all.times, all.failures = append(all.times, f.times...), append(all.failures, f.failures...)
		})
	}
	running.Wait()
	slices.Sort(all.times)
	return all
}

func (s *server) caller(ctx context.Context, web *http.Client, i int, length time.Duration) (f felt) {
	const each, readEvery = 200 * time.Millisecond, 8
	ids := map[string]any{"registered": fmt.Sprint("caller-", i)}
	due := time.NewTicker(each)
	defer due.Stop()
	for end, n := time.Now().Add(length), 0; time.Now().Before(end); n++ {
		r := request{path: "/track/v2/projects/{token}/customers/events", auth: "public", body: encoded(map[string]any{
			"customer_ids": ids, "event_type": "visit", "properties": map[string]any{"n": n},
		})}
		if n%readEvery == readEvery-1 {
			r = request{path: "/data/v2/projects/{token}/customers/attributes", body: encoded(map[string]any{
				"customer_ids": ids, "attributes": []any{map[string]any{"type": "id", "id": "registered"}},
			})}
		}
		began := time.Now()
		if err := s.send(ctx, web, r); err != nil {
			f.failures = append(f.failures, err.Error())
		}
		f.times = append(f.times, time.Since(began))
		<-due.C
	}
	return f
}

// send sends a request and returns its failure.
func (s *server) send(ctx context.Context, web *http.Client, r request) error {
	req, err := s.newRequest(ctx, r)
	if err != nil {
		return err
	}
	res, err := web.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%d %s", res.StatusCode, body)
	}
	return nil
}

func dialerFrom(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// processorTime returns the processor time that the server's process has used
// (proc(5)). The kernel counts hundredths of a second.
func (s *server) processorTime(t *testing.T) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Skipf("this system does not tell what a process uses: %v", err)
	}
	_, after, _ := strings.Cut(string(text), ") ") // after the name, which may contain anything
	var ticks int
	for _, field := range strings.Fields(after)[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// attackVariable contains the server to attack. It turns this program into an
// attacking process.
const attackVariable = "TRACKWAY_E2E_ATTACK"

// startAttack attacks the server from a separate process: thousands of
// connections in this one would keep the callers waiting too. The process
// stands for other machines, so it has the lowest priority. stop ends it, and
// returns the processor time that it used.
func (s *server) startAttack(t *testing.T) (stop func() time.Duration) {
	t.Helper()
	cmd := exec.Command("nice", "-n", "19", os.Args[0])
	cmd.Env = append(os.Environ(), attackVariable+"="+s.public)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // the process ends when this is closed, or when we end
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("the attackers do not begin: %v", err)
	}
	return func() time.Duration {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the attackers: %v", err)
		}
		return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
}

// bombs are bodies that grow when they are decompressed and decoded.
type bombs struct{ wide, nested []byte }

func newBombs() (b bombs) {
	b.wide = squeezed(`{"commands":[{"name":"customers/events","data":{"customer_ids":{"cookie":"a"},"event_type":"e","properties":{"p":{"b":0` +
		strings.Repeat(`,"":0`, 8_000_000) + `}}}}]}`)
	b.nested = squeezed(`{"customer_ids":{"cookie":"a"},"event_type":"e","properties":{"p":` + strings.Repeat(`[{"":0},`, 70) +
		`[` + strings.Repeat(`"",`, 260_000) + `0]` + strings.Repeat(`]`, 70) + `}}`)
	return b
}

// attack attacks a server until the standard input ends.
func attack(target string) {
	b := newBombs()
	ctx, cancel := context.WithCancel(context.Background())
	_, _ = os.Stdout.WriteString("attacking\n")
	var all sync.WaitGroup
	for i := range attackers {
		a := attacker{server: target, dialer: dialerFrom(fmt.Sprintf("127.0.0.%d", i+2))}
		all.Go(func() { a.bomb(ctx, "batch", b.wide) })
		for range 60 {
			all.Go(func() { a.bomb(ctx, "customers/events", b.nested) })
		}
		for range pausedBodies {
			all.Go(func() { a.hold(ctx, a.head("customers/events", 64<<10, "")) })
		}
		unfinished := []byte("GET / HTTP/1.1\r\nX-Long: " + strings.Repeat("x", 30_000))
		for range idleEach / 2 {
			all.Go(func() { a.hold(ctx, nil) })
			all.Go(func() { a.hold(ctx, unfinished) })
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	all.Wait()
}

type attacker struct {
	server string
	dialer *net.Dialer
}

func (a attacker) head(path string, length int, fields string) []byte {
	return fmt.Appendf(nil, "POST /track/v2/projects/%s/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Token %s\r\nContent-Length: %d\r\n%s\r\n",
		projectToken, path, publicKey, length, fields)
}

// pause waits after a connection was cut or refused. The attackers share the
// processors with the server and its callers: the attack must cost the server
// time, not the attackers.
func pause(ctx context.Context) {
	const least, spread = 5 * time.Second, 5 * time.Second
	select {
	case <-ctx.Done():
	case <-time.After(least + rand.N(spread)):
	}
}

// hold opens a connection, sends some bytes, and waits until the server closes
// it.
func (a attacker) hold(ctx context.Context, send []byte) {
	for ctx.Err() == nil {
		a.connect(ctx, func(c net.Conn) {
			_, _ = c.Write(send)
			_, _ = io.Copy(io.Discard, c)
		})
		pause(ctx)
	}
}

// bomb sends a compressed body again after each answer.
func (a attacker) bomb(ctx context.Context, path string, body []byte) {
	message := slices.Concat(a.head(path, len(body), "Content-Encoding: gzip\r\n"), body)
	for ctx.Err() == nil {
		a.connect(ctx, func(c net.Conn) {
			in := bufio.NewReader(c)
			for {
				if _, err := c.Write(message); err != nil {
					return
				}
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
				if res.StatusCode == http.StatusTooManyRequests || res.Close {
					return
				}
			}
		})
		pause(ctx)
	}
}

func (a attacker) connect(ctx context.Context, do func(net.Conn)) {
	c, err := a.dialer.DialContext(ctx, "tcp", a.server)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	do(c)
}

func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// squeezed compresses a text.
func squeezed(text string) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}
