package e2e

import (
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// lookAgain is the pause between two looks.
const lookAgain = 200 * time.Millisecond

// destinations runs a command about destinations at a server of the cluster.
func (c *cluster) destinations(i, exit int, args ...string) string {
	c.t.Helper()
	return c.servers[i].run(c.t, exit, append([]string{"destinations"}, args...)...)
}

// TestClusterDestinations: the leader sends to a folder that all servers share.
// In each round it is killed while clients send, and another one goes on. In
// the end, the folder has each event exactly once. Commands work at each
// server.
func TestClusterDestinations(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := toFile(t, t.TempDir())
	c := prepareCluster(t, 3)
	c.more = "destinations:\n  - {name: copy, projects: [demo], " + p.config + ", batch: {rows: 100, every: 20ms}}\n"
	c.begin()
	var l load
	for range max(*clusterRounds, 3) {
		victim := c.leader()
		l.sendThrough(t, slices.Clone(c.servers), 1+random.Int64N(300), func() { c.servers[victim].kill(t) })
		c.start(victim)
		c.servers[victim].awaitReady(t)
		if t.Failed() {
			return
		}
	}
	c.settle()
	leader := c.leader()
	follower := (leader + 1) % len(c.servers)
	c.sending()
	awaitCopy(t, c.servers[follower])
	report := c.destinations(follower, 0, "verify", "copy", "--quiet")
	if !strings.Contains(report, "missing 0, doubled 0, different 0, foreign 0") {
		t.Errorf("got %s", report)
	}
	want, count := exportedEvents(t, c.servers[follower], "--project", "demo")
	seqs, got := make(map[uint64]int), make(map[string]int)
	for _, e := range p.count() {
		seqs[e.Seq]++
		got[e.Type+" "+e.Properties.Name]++
	}
	if len(seqs) != count || !maps.Equal(got, want) {
		t.Errorf("the folder has %d events, want %d", len(seqs), count)
	}
	t.Logf("%d events", count)

	// A decision of an operator at one server holds at all.
	c.destinations(follower, 0, "check")
	c.destinations(follower, 0, "pause", "copy")
	awaitState(t, c, "paused")
	c.handOver(leader)
	awaitState(t, c, "paused")
	c.destinations(leader, 0, "resume", "copy")
	awaitState(t, c, "running")
	c.destinations(leader, 0, "rewind", "copy", "--to", "beginning")
	awaitCopy(t, c.servers[leader])
	if again := p.count(); len(again) != count {
		t.Errorf("after a rewind, the folder has %d events, want %d", len(again), count)
	}
}

// list returns what a server says about the destinations. While the leader
// changes, it may be an error.
func (c *cluster) list(i int) string {
	out, _ := tool(c.t, c.servers[i], "destinations", "list").CombinedOutput() // the text says what is wrong
	return string(out)
}

// sending waits until there is a server that sends.
func (c *cluster) sending() {
	for end := time.Now().Add(patience); time.Now().Before(end) && strings.Contains(c.list(0), "trackway:"); {
		_ = sleep.For(c.t.Context(), lookAgain)
	}
}

// awaitState waits until each server says that the destination is in a state.
func awaitState(t *testing.T, c *cluster, state string) {
	t.Helper()
	for i := range c.servers {
		for range int(patience / lookAgain) {
			text := c.list(i)
			if strings.Contains(text, state) {
				break
			}
			_ = sleep.For(t.Context(), lookAgain)
		}
	}
	for i := range c.servers {
		if text := c.destinations(i, 0, "list"); !strings.Contains(text, state) {
			t.Errorf("server %d: got %s, want %s", i, text, state)
		}
	}
}

// TestClusterOtherFolder: a server whose path leads to another folder than
// those of the others stops the destination when it leads, and says why. The
// others go on.
func TestClusterOtherFolder(t *testing.T) {
	t.Parallel()
	// Each server has a folder of its own.
	c := prepareCluster(t, 3)
	c.more = "destinations:\n  - {name: copy, projects: [demo], kind: file, path: ./out, batch: {every: 20ms}}\n"
	c.begin()
	for _, s := range c.servers {
		s.log.mayHold("path must lead to the same folder")
	}
	var l load
	l.sendThrough(t, slices.Clone(c.servers), 20, func() {})
	c.sending()
	leader := c.leader()
	awaitCopy(t, c.servers[leader])
	if _, err := os.Stat(filepath.Join(c.dirs[leader], "out")); err != nil {
		t.Fatal(err)
	}
	c.handOver(leader)
	awaitState(t, c, "stopped")
	if text := c.destinations(leader, 0, "list"); !strings.Contains(text, "path must lead to the same folder") {
		t.Errorf("got %s", text)
	}
}

// TestClusterLeftover: files that a server has from the time when it stood
// alone say nothing about the destinations of the cluster that it joins.
func TestClusterLeftover(t *testing.T) {
	t.Parallel()
	p := toFile(t, t.TempDir())
	c := prepareCluster(t, 2)
	c.more = "destinations:\n  - {name: copy, projects: [demo], " + p.config + ", batch: {every: 20ms}}\n"
	dir := filepath.Join(c.dirs[1], "data", "destinations")
	const ownerOnly = 0o700
	if err := os.MkdirAll(dir, ownerOnly); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "id.first"), []byte(strings.Repeat("0f", 16)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.begin()
	var l load
	l.sendThrough(t, slices.Clone(c.servers), 20, func() {})
	c.sending()
	awaitCopy(t, c.servers[0])
	c.handOver(c.leader())
	c.sending()
	awaitCopy(t, c.servers[1])
}
