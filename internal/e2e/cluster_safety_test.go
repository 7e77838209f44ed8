package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"trackway/internal/store/digest/digesttest"
)

// visitOf is an event of a person. It has a time, so it can be sent again.
func visitOf(t *testing.T, n int) request {
	t.Helper()
	return request{path: "/track/v2/projects/{token}/customers/events", body: encode(t, map[string]any{
		"customer_ids": map[string]any{"registered": "person-1"}, "event_type": "visit", "timestamp": loadTime + n, "properties": map[string]any{"n": n},
	})}
}

// awaitLine waits until a server's metric has a value.
func (s *server) awaitLine(t *testing.T, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(ctx, t, func() bool {
		_, text := get(t, s.ops, "/metrics")
		return bytes.Contains(text, []byte("\n"+line+"\n"))
	})
}

// clusterLine returns the line of a metric of a cluster's partition.
func clusterLine(name string, part, value int) string {
	label := ""
	if *clusterPartitions > 1 {
		label = fmt.Sprintf("{partition=\"%d\"}", part)
	}
	return fmt.Sprintf("trackway_cluster_%s%s %d", name, label, value)
}

// TestClusterAltered: somebody changes the files of a server that is stopped.
// After its start, the server finds out, ends, and does not start again. The
// others go on and say so. With an emptied data directory, it joins again.
func TestClusterAltered(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	for n := range 10 {
		if got := c.servers[n%3].again(t, visitOf(t, n)); !got.success() {
			t.Fatal(got)
		}
	}
	c.settle()
	altered := (c.leader() + 1) % 3
	if code := c.servers[altered].stop(t); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	digesttest.Alter(t, nil, filepath.Join(c.dirs[altered], "data", "p00", "state"))
	c.start(altered)
	s := c.servers[altered]
	const differs = "differs from that of most servers of the cluster"
	s.log.mayHold(differs)
	s.log.mayHold("this server takes no commands")
	if code := s.await(t, patience); code != 1 || !strings.Contains(s.log.all(), differs) || !strings.Contains(s.log.all(), "trackway cluster join") {
		t.Errorf("it ended with %d:\n%s", code, s.log)
	}
	for i, other := range c.servers {
		if i == altered {
			continue
		}
		other.log.mayHold("the data of another server differs")
		other.awaitLine(t, clusterLine("differing_members", 0, 1))
		if got := other.again(t, visitOf(t, 100+i)); !got.success() {
			t.Error(got)
		}
	}
	if out := string(c.command((altered+1)%3, "status")); !strings.Contains(out, c.members[altered]+" has other data than most servers") {
		t.Errorf("status says\n%s", out)
	}

	c.start(altered)
	c.servers[altered].log.mayHold(differs)
	if code := c.servers[altered].await(t, patience); code != 1 || !strings.Contains(c.servers[altered].log.all(), differs) {
		t.Errorf("the second time, it ended with %d:\n%s", code, c.servers[altered].log)
	}
	if err := os.RemoveAll(filepath.Join(c.dirs[altered], "data")); err != nil {
		t.Fatal(err)
	}
	c.start(altered)
	c.servers[altered].awaitLog(t, "a line that says it waits", func(text string) bool { return strings.Contains(text, "waiting for the cluster") })
	c.command(altered, "join", c.members[(altered+1)%3])
	c.servers[altered].awaitReady(t)
	c.servers[(altered+1)%3].awaitLine(t, clusterLine("differing_members", 0, 0))
}

// TestClusterClocks: each server shows how far the clocks of the others are
// off.
func TestClusterClocks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	await(ctx, t, func() bool {
		return strings.Count(string(c.command(0, "status")), "+0.00")+strings.Count(string(c.command(0, "status")), "-0.00") >= 2
	})
	for _, address := range c.members[1:] {
		_, text := get(t, c.servers[0].ops, "/metrics")
		if !bytes.Contains(text, []byte(`trackway_cluster_clock_offset_seconds{member="`+address+`"`)) {
			t.Errorf("there is no offset of %s", address)
		}
	}
	c.servers[0].awaitLine(t, clusterLine("clock_wrong", 0, 0))
}
