package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trackway/internal/porttest"
	"trackway/internal/sleep"
)

var clusterPartitions = flag.Int("cluster-partitions", 1, "how many `partitions` the servers of a cluster have; the project of the tests is in the last one")

var clusterRounds = flag.Int("cluster-rounds", 2, "how many `rounds` TestCluster makes; the full size is 100")

// cluster is the servers of a test, and their configurations.
type cluster struct {
	t       *testing.T
	dirs    []string
	public  []string  // host:port for clients; a server that starts again keeps it
	ops     []string  // host:port for operators, which it keeps, too; nil: any
	members []string  // host:port for the other servers
	servers []*server // nil: it is down

	settings string        // in the section cluster of each configuration
	more     string        // beside that section
	limits   string        // of each configuration
	kafka    string        // URL of the brokers that keep the log; empty: the servers keep it
	whole    func() string // replaces the configuration without the section cluster; nil: baseConfig and limits
}

// newCluster starts servers, each of which joins the first one.
func newCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := prepareCluster(t, n)
	c.begin()
	return c
}

// prepareCluster returns a cluster whose servers do not run yet.
func prepareCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, servers: make([]*server, n), limits: wideLimits}
	for range n {
		c.dirs, c.public, c.members = append(c.dirs, t.TempDir()), append(c.public, porttest.Address(t)), append(c.members, porttest.Address(t))
	}
	return c
}

// begin starts all servers, each of which joins the first one.
func (c *cluster) begin() {
	t, n := c.t, len(c.servers)
	t.Helper()
	for i := range n {
		c.start(i)
		c.servers[i].awaitLog(t, "a line that says it waits", func(text string) bool { return strings.Contains(text, "waiting for the cluster") })
	}
	c.command(0, "init")
	for i := 1; i < n && c.kafka == ""; i++ {
		c.command(i, "join", c.members[0])
	}
	for _, s := range c.servers {
		s.awaitReady(t)
	}
}

func (c *cluster) config(i int) string { return filepath.Join(c.dirs[i], "trackway.yaml") }

// start starts a server, and does not wait for it.
func (c *cluster) start(i int) {
	c.t.Helper()
	peers, err := json.Marshal(c.members)
	if err != nil {
		c.t.Fatal(err)
	}
	others := fmt.Sprintf("peers: %s", peers)
	if c.kafka != "" {
		others = fmt.Sprintf("log: kafka, kafka: {url: %q}", c.kafka)
	}
	base := baseConfig + otherProjects() + c.limits
	if c.whole != nil {
		base = c.whole()
	}
	config := base + fmt.Sprintf("cluster: {name: test, listen: %q, %s, heartbeat: 2s%s}\n", c.members[i], others, c.settings) + c.more
	if err := os.WriteFile(c.config(i), []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
	args := []string{"--config", c.config(i), "--data", filepath.Join(c.dirs[i], "data"), "--listen", c.public[i]}
	if c.ops != nil {
		args = append(args, "--ops-listen", c.ops[i])
	}
	s := launch(c.t, c.dirs[i], args...)
	s.log.private("person-", "visit-")
	s.config = c.config(i)
	c.servers[i] = s
}

// otherProjects returns projects to which nothing is sent, one for each
// partition before the last one. Their tokens come first.
func otherProjects() string {
	var b strings.Builder
	for i := range *clusterPartitions - 1 {
		fmt.Fprintf(&b, "  - {name: other%d, token: %08d-0000-4000-8000-000000000000, identifiers: {hard: [registered]}, "+
			"keys: [{name: backend, kind: private, id: other-id-%d, secret: Zt4Wm8Qk1Vn6Xc3Ls9Bp7Dh2Gf5Jr0y-%d}]}\n", i, i, i, i)
	}
	if *clusterPartitions > 1 {
		fmt.Fprintf(&b, "partitions: %d\n", *clusterPartitions)
	}
	return b.String()
}

// command runs trackway cluster at a server, and returns what it prints.
func (c *cluster) command(i int, args ...string) []byte {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	args = append([]string{"cluster"}, args...)
	out, err := exec.CommandContext(ctx, binary(c.t), append(args, "--config", c.config(i), "--data", filepath.Join(c.dirs[i], "data"))...).Output()
	if err != nil {
		c.t.Fatalf("trackway %q: %v\n%s\n%s", args, err, out, c.servers[i].log)
	}
	return out
}

type clusterStatus struct {
	Leader  string
	Leading bool
	Applied uint64
	Members []struct {
		Address string
		Voter   bool
	}
	Partitions []clusterStatus
}

// status returns what a server knows. With several partitions, it is of the
// last one.
func (c *cluster) status(i int) (s clusterStatus) {
	c.t.Helper()
	if err := json.Unmarshal(c.command(i, "status", "--json"), &s); err != nil {
		c.t.Fatal(err)
	}
	if n := len(s.Partitions); n > 0 {
		return s.Partitions[n-1]
	}
	return s
}

// leader returns the server that leads.
func (c *cluster) leader() int {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for i, s := range c.servers {
			if s != nil && c.status(i).Leading {
				return i
			}
		}
	}
	c.t.Fatal("no server leads")
	return 0
}

// lead makes a server lead.
func (c *cluster) lead(i int) {
	c.t.Helper()
	for end := time.Now().Add(patience); c.leader() != i; {
		if time.Now().After(end) {
			c.t.Fatalf("server %d does not lead\n%s", i, c.servers[i].log)
		}
		c.handOver(c.leader())
	}
}

// handOver waits until another server leads than the one that did. A handover
// may fail, or leadership may come back, if the machine is busy.
func (c *cluster) handOver(leader int) {
	c.t.Helper()
	const takes = 10 * time.Second
	for end := time.Now().Add(patience); c.leader() == leader; {
		if time.Now().After(end) {
			c.t.Fatalf("server %d still leads\n%s", leader, c.servers[leader].log)
		}
		c.try(leader, "cluster", "transfer") // if it fails, it is tried again
		for soon := time.Now().Add(takes); c.leader() == leader && time.Now().Before(soon); {
			_ = sleep.For(c.t.Context(), lookAgain)
		}
	}
}

// settle waits until all servers have applied the same entries.
func (c *cluster) settle() {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var applied []uint64
		for i, s := range c.servers {
			if s != nil {
				applied = append(applied, c.status(i).Applied)
			}
		}
		if slices.Min(applied) == slices.Max(applied) {
			return
		}
	}
	c.t.Fatal("the servers do not have the same entries")
}

// sendThrough has all clients send, each to one server. After some requests it
// calls disturb, and goes on until as many were acknowledged again. A client
// ends when its server is gone.
func (l *load) sendThrough(t *testing.T, servers []*server, more int64, disturb func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l.again = true
	target, stop := l.acks.Load()+more, atomic.Int64{}
	stop.Store(math.MaxInt64)
	enough := make(chan struct{})
	var clients sync.WaitGroup
	for i := range l.clients {
		clients.Go(func() {
			for l.acks.Load() < stop.Load() && l.send(ctx, t, servers[i%len(servers)], i) {
				if l.acks.Add(1) == target {
					close(enough)
				}
			}
		})
	}
	select {
	case <-enough:
	case <-ctx.Done():
		t.Errorf("%d requests were acknowledged, want %d", l.acks.Load(), target)
	}
	disturb()
	wanted := l.acks.Load() + more
	stop.Store(wanted)
	clients.Wait()
	if got := l.acks.Load(); got < wanted {
		t.Errorf("after the disturbance, only %d of %d more requests were acknowledged", got-(wanted-more), more)
	}
}

// TestCluster: three servers take commands together. In each round, one of them
// is killed, every second time the leader, while clients send to all. The
// others go on, everything acknowledged is stored once on every server, and the
// killed one comes back. The flag -cluster-rounds sets the number of rounds.
func TestCluster(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := newCluster(t, 3)
	var l load
	for round := range *clusterRounds {
		servers, victim := slices.Clone(c.servers), random.IntN(len(c.servers))
		if round%2 == 0 {
			victim = c.leader()
		}
		l.sendThrough(t, servers, 1+random.Int64N(300), func() { servers[victim].kill(t) })
		c.start(victim)
		c.servers[victim].awaitReady(t)
		c.settle()
		for i, s := range c.servers {
			if i != round%len(c.servers) {
				compareAcknowledged(t, &l, s)
			}
		}
		l.check(t, c.servers[round%len(c.servers)])
		if t.Failed() {
			return
		}
	}
}

// compareAcknowledged checks that a server has everything that was
// acknowledged, once.
func compareAcknowledged(t *testing.T, l *load, s *server) {
	t.Helper()
	var known []string
	for i := range l.clients {
		known = append(known, l.clients[i].acked...)
	}
	compare(t, "acknowledged", known, l.stored(t, s), 1)
}

// TestClusterAllKilled: after the power of all servers was cut at once, they
// have everything that was acknowledged.
func TestClusterAllKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	l := load{again: true}
	servers := slices.Clone(c.servers)
	l.sendUntil(t, servers[0], 100, func() {
		for _, s := range servers {
			s.kill(t)
		}
	})
	for i := range c.servers {
		c.start(i)
	}
	for _, s := range c.servers {
		s.awaitReady(t)
	}
	c.settle()
	for _, s := range c.servers[1:] {
		compareAcknowledged(t, &l, s)
	}
	l.check(t, c.servers[0])
}

// TestClusterPosition: a client that sends a position along, or asks for strong
// consistency, reads at one server what it has written at another.
func TestClusterPosition(t *testing.T) {
	t.Parallel()
	readAtPositions(t, newCluster(t, 3), "person-1")
}

func readAtPositions(t *testing.T, c *cluster, who string) {
	t.Helper()
	const rounds = 20
	all := len(c.servers)
	for n := 1; n <= rounds; n++ {
		writer, reader, strong := c.servers[n%all], c.servers[(n+1)%all], c.servers[(n+2)%all]
		wrote := writer.again(t, request{path: "/track/v2/projects/{token}/customers/events", body: encode(t, map[string]any{
			"customer_ids": map[string]any{"registered": who}, "event_type": "visit", "timestamp": loadTime - n, "properties": map[string]any{"n": n},
		})})
		position := wrote.header.Get("Trackway-Position")
		if !wrote.success() || position == "" {
			t.Fatalf("got %v, position %q", wrote, position)
		}
		path := "/api/projects/{token}/customers/registered=" + who + "/events"
		if got := strings.Count(string(reader.again(t, request{path: path, header: map[string]string{"Trackway-Position": position}}).body), `"visit"`); got != n {
			t.Errorf("after %d events, another server shows %d at position %s", n, got, position)
		}
		if got := strings.Count(string(strong.again(t, request{path: path + "?consistency=strong"}).body), `"visit"`); got != n {
			t.Errorf("after %d events, a strong reader sees %d", n, got)
		}
	}
	if got := c.servers[0].do(t, request{path: "/api/projects/{token}/customers", header: map[string]string{"Trackway-Position": fmt.Sprintf("%d.99999999", *clusterPartitions-1)}}); got.status != 400 {
		t.Errorf("a position that no server has: got %v", got)
	}
}

// TestClusterRecover: a server that becomes the only member starts again within
// its process. A reload that it had before stays in force, and systemd is told
// once that it is ready.
func TestClusterRecover(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	notified, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = notified.Close() }()
	t.Setenv("NOTIFY_SOCKET", socket)
	c := newCluster(t, 2)
	leader := c.leader()
	s := c.servers[1-leader]
	config, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	const rotated = "public-key-rotated"
	s.log.private(rotated)
	s.configure(t, strings.ReplaceAll(string(config), publicKey, rotated))
	s.reload(t, http.StatusOK, "reloaded")
	c.servers[leader].kill(t)
	c.command(1-leader, "recover", "--others-are-lost")
	for key, want := range map[string]int{publicKey: http.StatusUnauthorized, rotated: http.StatusOK} {
		if got := s.status(t, "/track/v2/projects/{token}/system/time", "Token "+key); got != want {
			t.Errorf("a call with %s gets %d, want %d", key, got, want)
		}
	}
	if err := s.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the server has ended: %v", err)
	}
}
