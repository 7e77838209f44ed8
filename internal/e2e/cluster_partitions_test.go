package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// withPartitions makes the servers of a cluster keep projects in three
// partitions, and send to a folder that they share.
func withPartitions(c *cluster, projects int) {
	folder := c.t.TempDir()
	c.whole = func() string {
		return strings.Replace(partitioned(projects), "path: copy,", fmt.Sprintf("path: %q,", folder), 1)
	}
}

// partitionLeaders returns the server that leads each partition, or -1.
func (c *cluster) partitionLeaders(i int) []int {
	c.t.Helper()
	var s struct {
		Partitions []struct {
			Leader  string
			Members []struct{ Address string }
		}
	}
	if err := json.Unmarshal(c.command(i, "status", "--json"), &s); err != nil {
		c.t.Fatal(err)
	}
	leaders := make([]int, len(s.Partitions))
	for part, p := range s.Partitions {
		leaders[part] = slices.Index(c.members, p.Leader)
	}
	return leaders
}

// apart makes each server lead a partition.
func (c *cluster) apart() {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(lookAgain) { //nolint:forbidigo // elections take their time
		leaders := c.partitionLeaders(0)
		if slices.Contains(leaders, -1) {
			continue
		}
		c.try(0, "cluster", "rebalance") // if a leader is lost meanwhile, it is tried again
		if leaders = c.partitionLeaders(0); len(leaders) == partitions && leaders[0] != leaders[1] && leaders[0] != leaders[2] && leaders[1] != leaders[2] {
			return
		}
	}
	c.t.Fatalf("the servers do not lead a partition each: %v", c.partitionLeaders(0))
}

// settlePartitions waits until all servers have the same entries.
func (c *cluster) settlePartitions() {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		applied := make(map[string]bool)
		for i := range c.servers {
			var s struct{ Partitions []struct{ Applied uint64 } }
			if err := json.Unmarshal(c.command(i, "status", "--json"), &s); err != nil {
				c.t.Fatal(err)
			}
			applied[fmt.Sprint(s.Partitions)] = true
		}
		if len(applied) == 1 {
			return
		}
	}
	c.t.Fatal("the servers do not have the same entries")
}

// TestClusterPartitions: three servers with three partitions, each of which is
// led by another server. In each round, a server is killed while clients send
// to all projects through all servers, and at the end all of them at once. All
// servers have everything that was acknowledged, once, and destinations do.
func TestClusterPartitions(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	withPartitions(c, partitionSize)
	c.begin()
	var writers []*partitionWriter
	for i := range partitionSize {
		writers = append(writers, &partitionWriter{project: i, merged: map[string]string{}})
	}
	rounds := *clusterRounds + 1
	for round := range rounds {
		c.apart()
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		var killed atomic.Bool
		acks := make(chan struct{}, 1<<16)
		victims := []int{c.partitionLeaders(0)[round%partitions]}
		if round == rounds-1 {
			victims = []int{0, 1, 2}
		}
		for n, w := range writers {
			s := c.servers[(n+round)%len(c.servers)]
			running.Go(func() {
				for ctx.Err() == nil && !t.Failed() {
					w.send(ctx, t, s, func() { acks <- struct{}{} })
					if killed.Load() && (len(victims) > 1 || s == c.servers[victims[0]]) {
						return // before that, an election may just have taken long
					}
				}
			})
		}
		await := func(n int) {
			for range n {
				select {
				case <-acks:
				case <-time.After(patience):
					t.Fatalf("no acknowledgement for %v\n%s", patience, c.servers[0].log)
				}
			}
		}
		await(60)
		for _, victim := range victims {
			c.servers[victim].kill(t)
		}
		killed.Store(true)
		if len(victims) == 1 {
			await(200) // the others go on, in all partitions
		}
		cancel()
		running.Wait()
		for _, victim := range victims {
			c.start(victim)
		}
		for _, s := range c.servers {
			s.awaitReady(t)
		}
	}
	c.settlePartitions()
	for _, s := range c.servers {
		for _, w := range writers {
			w.check(t, s)
		}
	}
	for part := range partitions { // projects are in all of them
		if entries, err := os.ReadDir(filepath.Join(c.dirs[1], "data", fmt.Sprintf("p%02d", part), "state")); err != nil || len(entries) < 5 {
			t.Errorf("partition %d: %v, %v", part, entries, err)
		}
	}
	checkPartitionReads(t, c.servers[2], writers)
	c.apart()
	checkPartitionPositions(t, c)
	checkPartitionDestinations(t, c)
	checkPartitionMembers(t, c)
}

// checkPartitionPositions checks that a reader sees at one server what was
// stored at another, in each partition.
func checkPartitionPositions(t *testing.T, c *cluster) {
	t.Helper()
	seen := map[string]bool{}
	var all []string
	for project := range partitionSize {
		const event = `{"customer_ids": {"registered": "reader"}, "event_type": "late", "timestamp": %d, "properties": {"name": "late-%d"}}`
		position := ""
		for n := 1; n <= 3; n++ {
			send := func(i int, path, position string, body []byte) response {
				header := map[string]string{"Authorization": basic("Basic", fmt.Sprint("key-", project), partitionSecret(project))}
				if position != "" {
					header["Trackway-Position"] = position
				}
				return c.servers[i%3].again(t, request{path: strings.Replace(path, "{token}", partitionToken(project), 1), auth: "none", header: header, body: body})
			}
			wrote := send(n, "/track/v2/projects/{token}/customers/events", "", fmt.Appendf(nil, event, loadTime+n, project))
			if position = wrote.header.Get("Trackway-Position"); wrote.status != http.StatusOK || position == "" {
				t.Fatalf("got %v, position %q", wrote, position)
			}
			log, _, _ := strings.Cut(position, ".")
			seen[log] = true
			for _, at := range []string{position, strings.Join(append(all, position), ", ")} {
				read := send(n+1, "/api/projects/{token}/customers/registered=reader/events", at, nil)
				if got := strings.Count(string(read.body), `"late"`); read.status != http.StatusOK || got != n {
					t.Errorf("project %d: at position %s: got %d, %d events, want %d", project, at, read.status, got, n)
				}
			}
			for _, wrong := range []string{"9.1", log + ".99999999", position + ",", "x"} {
				if got := send(n+1, "/api/projects/{token}/customers", wrong, nil); got.status != http.StatusBadRequest {
					t.Errorf("position %s: got %v", wrong, got)
				}
			}
		}
		all = append(all, position)
	}
	if len(seen) != partitions {
		t.Errorf("projects are in partitions %v only", seen)
	}
}

// checkPartitionDestinations checks that each server answers what operators ask
// of all partitions.
func checkPartitionDestinations(t *testing.T, c *cluster) {
	t.Helper()
	for i := range c.servers {
		for end := time.Now().Add(patience); ; time.Sleep(lookAgain) { //nolint:forbidigo // the leaders take their turns
			list := c.list(i)
			if strings.Count(list, "running") == partitions && strings.Contains(list, "copy/p00") && strings.Contains(list, "copy/p02") {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("server %d lists\n%s", i, list)
			}
		}
		c.servers[i].run(t, 0, "destinations", "pause", "copy")
		if list := c.servers[(i+1)%3].run(t, 0, "destinations", "list"); strings.Count(list, "paused") != partitions {
			t.Errorf("after a pause at server %d:\n%s", i, list)
		}
		c.servers[i].run(t, 0, "destinations", "resume", "copy")
		c.servers[i].run(t, 0, "destinations", "check", "copy")
		c.servers[i].run(t, 0, "destinations", "suggest", "copy")
		for part := range partitions {
			report := c.servers[i].run(t, 0, "destinations", "verify", fmt.Sprintf("copy/p%02d", part), "--quiet")
			if !strings.Contains(report, "missing 0, doubled 0, different 0, foreign 0") || strings.Contains(report, " 0 events of the log") {
				t.Errorf("partition %d: got %s", part, report)
			}
		}
	}
	if out := c.servers[1].run(t, 1, "destinations", "pause", "other"); out != "" {
		t.Errorf("got %s", out)
	}
}

// checkPartitionMembers removes a server, and has it join again. A server with
// another number of partitions cannot.
func checkPartitionMembers(t *testing.T, c *cluster) {
	t.Helper()
	c.command(0, "remove", c.members[2])
	c.servers[2].kill(t)
	for end := time.Now().Add(patience); slices.Contains(c.partitionLeaders(0), 2) || slices.Contains(c.partitionLeaders(0), -1); {
		if time.Now().After(end) {
			t.Fatalf("after a removal, the partitions are led by %v", c.partitionLeaders(0))
		}
	}
	whole := c.whole
	for _, of := range []string{"1", "2", "3"} {
		if err := os.RemoveAll(filepath.Join(c.dirs[2], "data")); err != nil {
			t.Fatal(err)
		}
		c.whole = func() string { return strings.Replace(whole(), "partitions: 3", "partitions: "+of, 1) }
		c.start(2)
		c.servers[2].awaitLog(t, "a line that says it waits", func(text string) bool { return strings.Contains(text, "waiting for the cluster") })
		if of == "3" {
			break
		}
		out, err := exec.CommandContext(t.Context(), binary(t), "cluster", "join", c.members[0], "--config", c.config(2), "--data", filepath.Join(c.dirs[2], "data")).CombinedOutput()
		if err == nil || !strings.Contains(string(out), `this cluster is "test, with partitions: 3", not "test`) {
			t.Errorf("a server with partitions: %s: got %v, %s", of, err, out)
		}
		c.servers[2].kill(t)
	}
	c.command(2, "join", c.members[0])
	c.servers[2].awaitReady(t)
	c.settlePartitions()
}

// TestClusterFromPartitions: a server that stood alone with several partitions
// begins a cluster. Its projects stay where they are, and the others get all of
// it.
func TestClusterFromPartitions(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	withPartitions(c, partitionSize)
	s := startIn(t, c.dirs[0], c.whole())
	for project := range partitionSize {
		for n := range 1 + project*5 {
			status, answer, err := s.ask(t.Context(), project, "/track/v2/projects/{token}/customers/events", obj{
				"customer_ids": obj{"registered": fmt.Sprint("person-", n)}, "event_type": "round", "properties": obj{"name": fmt.Sprint("e", n)},
			})
			if err != nil || status != http.StatusOK {
				t.Fatal(status, answer, err)
			}
		}
	}
	want := exportPartitions(t, s)
	if status := s.stop(t); status != 0 {
		t.Fatalf("status %d", status)
	}
	c.begin()
	c.settlePartitions()
	for i, s := range c.servers {
		if got := exportPartitions(t, s); got != want {
			t.Errorf("server %d exports\n%s\nwant\n%s", i, got, want)
		}
	}
}

func exportPartitions(t *testing.T, s *server) string {
	t.Helper()
	var all strings.Builder
	for project := range partitionSize {
		all.WriteString(s.run(t, 0, "export", "--events", "--project", fmt.Sprint("p", project)))
	}
	return all.String()
}
