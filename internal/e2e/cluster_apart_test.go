package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trackway/internal/porttest"
)

// try runs a command at a server, and returns its exit status and all that it
// prints.
func (c *cluster) try(i int, args ...string) (status int, out string) {
	cmd := exec.CommandContext(c.t.Context(), binary(c.t), append(args, "--config", c.config(i), "--data", filepath.Join(c.dirs[i], "data"))...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	_ = cmd.Run() // its status tells
	return cmd.ProcessState.ExitCode(), b.String()
}

// until waits until something is so.
func (c *cluster) until(what string, is func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(lookAgain) { //nolint:forbidigo // servers start again meanwhile
		if time.Now().After(end) {
			_, status := c.try(0, "cluster", "status")
			c.t.Fatalf("after %v, it is not so that %s:\n%s\n%s", patience, what, status, c.servers[1].log)
		}
	}
}

// idIn returns the id of the server at an address in a partition, as a server
// sees it, and how many votes there are.
func (c *cluster) idIn(at, part, of int) (id string, votes int) {
	var s struct {
		Partitions []struct {
			Members []struct {
				ID, Address string
				Voter       bool
				Silent      bool
			}
		}
	}
	if status, out := c.try(at, "cluster", "status", "--json"); status != 0 || json.Unmarshal([]byte(out), &s) != nil || part >= len(s.Partitions) {
		return "", 0
	}
	for _, m := range s.Partitions[part].Members {
		if m.Voter && !m.Silent {
			votes++
		}
		if m.Address == c.members[of] && m.Voter {
			id = m.ID
		}
	}
	return id, votes
}

// led reports whether a server knows who leads each partition.
func (c *cluster) led(i int) bool {
	var s struct{ Partitions []struct{ Leader string } }
	if status, out := c.try(i, "cluster", "status", "--json"); status != 0 || json.Unmarshal([]byte(out), &s) != nil {
		return false
	}
	return len(s.Partitions) == partitions && !slices.ContainsFunc(s.Partitions, func(p struct{ Leader string }) bool { return p.Leader == "" })
}

func (c *cluster) remove(i int, names ...string) {
	c.t.Helper()
	if err := os.RemoveAll(filepath.Join(append([]string{c.dirs[i], "data"}, names...)...)); err != nil {
		c.t.Fatal(err)
	}
}

// ready returns what a server says of itself, or nothing while it starts again.
func (c *cluster) ready(i int) (status int, text string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.ops[i]+"/-/ready", http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	res, err := web.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(b)
}

// operated gives each server an address for operators that it keeps.
func (c *cluster) operated() {
	for range c.servers {
		c.ops = append(c.ops, porttest.Address(c.t))
	}
}

// TestClusterPartitionLost: a server that has lost the log or the data of a
// partition gets its copy again, under another id. While a partition has no
// leader, everything goes on in the others, and all say what is missing. Two
// commands that move copies at the same time do not mix.
func TestClusterPartitionLost(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	withPartitions(c, partitionSize)
	c.operated()
	c.begin()
	sent, made := map[string]int{}, 0 // events by project
	send := func(at int, may int) {
		t.Helper()
		for project := range partitionSize {
			made++
			event := obj{
				"customer_ids": obj{"registered": "ann"}, "event_type": "round", "timestamp": loadTime + made, "properties": obj{"n": made},
			}
			const path = "/track/v2/projects/{token}/customers/events"
			ask := c.servers[at].askAgain
			if may == http.StatusServiceUnavailable {
				ask = func(t *testing.T, project int, path string, body any) (int, map[string]any, error) {
					t.Helper()
					return c.servers[at].ask(t.Context(), project, path, body)
				}
			}
			status, answer, err := ask(t, project, path, event)
			switch {
			case err == nil && status == http.StatusOK:
				sent[fmt.Sprint("p", project)]++
			case err != nil || status != may:
				t.Fatalf("project %d: got %d %v, %v\n%s", project, status, answer, err, c.servers[at].log)
			}
		}
	}
	check := func() {
		t.Helper()
		for i, s := range c.servers {
			for project, n := range sent {
				if got := strings.Count(s.run(t, 0, "export", "--events", "--project", project), `"round"`); got != n {
					t.Errorf("server %d has %d events of %s, want %d", i, got, project, n)
				}
			}
		}
	}
	send(0, 0)

	for part, lost := range map[int][]string{1: {"p01", "log"}, 2: {"p02"}} {
		before, _ := c.idIn(0, part, 1)
		c.servers[1].kill(t)
		c.remove(1, lost...)
		send(0, 0)
		c.start(1)
		c.servers[1].awaitReady(t)
		c.until("the server has a vote under a new id", func() bool {
			id, votes := c.idIn(0, part, 1)
			return id != "" && id != before && votes == 3
		})
		c.until("it serves the partition", func() bool {
			_, text := c.ready(1)
			return text == "ready\n"
		})
		send(1, 0)
	}
	c.settlePartitions()
	check()

	// Two of three copies of a partition are lost.
	c.servers[1].kill(t)
	c.servers[2].kill(t)
	c.remove(1, "p01", "log")
	c.remove(2, "p01", "log")
	for _, i := range []int{1, 2} {
		c.start(i)
	}
	for _, i := range []int{1, 2} {
		c.servers[i].awaitReady(t)
	}
	c.until("the leaders of the others send", func() bool {
		_, out := c.try(0, "destinations", "list")
		return strings.Count(out, "running") == partitions-1
	})
	for i := range c.servers { // they may still learn who leads the others
		c.until(fmt.Sprintf("server %d says that its list is not complete", i), func() bool {
			status, out := c.try(i, "destinations", "list")
			return status == 1 && strings.Count(out, "running") == partitions-1 && strings.Contains(out, "the list is not complete: partition p01: ")
		})
		c.until(fmt.Sprintf("server %d is ready, without a partition", i), func() bool {
			status, text := c.ready(i)
			return status == http.StatusOK && strings.HasPrefix(text, "ready\npartition p01: ")
		})
	}
	status, out := c.try(1, "destinations", "list", "--json")
	var list struct {
		Destinations []struct{ Name string }
		Unanswered   []struct{ Partition, Error string }
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&list); err != nil || status != 1 || len(list.Destinations) != 2 || len(list.Unanswered) != 1 || list.Unanswered[0].Partition != "p01" {
		t.Errorf("got %d, %v, %s", status, err, out)
	}
	if status, out := c.try(0, "destinations", "check", "copy"); status != 1 || !strings.Contains(out, "p01: ") || strings.Contains(out, "p00: ") {
		t.Errorf("check: got %d %s", status, out)
	}
	if status, out := c.try(0, "cluster", "rebalance", "--plan"); status != 1 || !strings.Contains(out, "no server that answers leads p01") {
		t.Errorf("rebalance: got %d %s", status, out)
	}
	for i := range c.servers {
		send(i, http.StatusServiceUnavailable)
	}

	for _, s := range c.servers {
		s.log.mayHold("its position belongs to another store") // as after a restore
		s.log.mayHold("none of them has answered")             // while the only one starts again
	}
	c.command(0, "recover", "--others-are-lost")
	c.until("the server is the only member of the partition", func() bool {
		id, votes := c.idIn(0, 1, 0)
		return id != "" && votes == 1
	})
	c.until("the others know that they have no copy", func() bool {
		return !slices.Contains(c.onDisk(1), 1) && !slices.Contains(c.onDisk(2), 1)
	})
	for _, i := range []int{0, 1, 2} { // a server that has started again may have led others
		c.until("it knows a leader of each partition", func() bool { return c.led(i) })
	}
	var both sync.WaitGroup
	var failed [2]string
	for n, i := range []int{0, 2} {
		both.Go(func() {
			if status, out := c.try(i, "cluster", "rebalance", "--yes"); status != 0 {
				failed[n] = out
			}
		})
	}
	both.Wait()
	if failed[0] != "" && failed[1] != "" {
		t.Errorf("two at once: got\n%s\nand\n%s", failed[0], failed[1])
	}
	for _, out := range failed {
		if out != "" && !strings.Contains(out, "another rebalance is under way") {
			t.Errorf("two at once: got\n%s", out)
		}
	}
	c.command(0, "rebalance", "--yes")
	for i := range c.servers {
		c.until("it serves all", func() bool {
			_, text := c.ready(i)
			return text == "ready\n"
		})
		send(i, 0)
	}
	c.settlePartitions()
	check()
}

// TestClusterNewProject: a server whose configuration has a new project begins
// although no server leads. It serves what it knows, and says what it waits
// for. Once a server leads, it serves the new project, too.
func TestClusterNewProject(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	c.operated()
	c.begin()
	c.servers[0].track(t, "customers/events", obj{"customer_ids": obj{"registered": "ann"}, "event_type": "e", "properties": obj{}})
	c.settle()
	c.servers[0].kill(t)
	limits := c.limits
	c.limits = fmt.Sprintf("  - {name: fresh, token: %s, identifiers: {hard: [registered]}, keys: [{name: k, kind: private, id: key-1, secret: %s}]}\n", partitionToken(1), partitionSecret(1)) + limits
	others := func(s syscall.Signal) {
		for _, other := range c.servers[1:] {
			if err := other.cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	others(syscall.SIGSTOP)
	defer others(syscall.SIGCONT)
	c.start(0)
	c.servers[0].awaitLog(t, "a line that says it waits", func(text string) bool { return strings.Contains(text, "waiting for the cluster") })
	socket := filepath.Join(c.dirs[0], "data", "control.sock")
	connect := func() (net.Conn, error) { return new(net.Dialer).DialContext(t.Context(), "unix", socket) }
	var begun net.Conn
	c.until("operators can reach it", func() (is bool) {
		var err error
		begun, err = connect()
		return err == nil
	})
	// Before the server goes on from waiting to serving, it lets this request
	// end, for a while. Meanwhile, the others fail.
	more := []byte("GET /cluster HTTP/1.1\r\nX: ")
	others(syscall.SIGCONT)
	for {
		if _, err := begun.Write(more); err != nil {
			t.Fatal(err)
		}
		more = []byte("x")
		another, err := connect()
		if err != nil {
			break
		}
		_ = another.Close()
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // the server goes on at its own pace
	}
	others(syscall.SIGSTOP)
	_ = begun.Close()
	c.servers[0].awaitReady(t)
	if status, text := c.ready(0); !strings.Contains(text, "new projects (fresh) are not served yet: the servers of the cluster cannot store anything\n") {
		t.Fatalf("ready: got %d %s", status, text)
	}
	if _, out := c.try(0, "cluster", "status"); !strings.Contains(out, "On this server, new projects (fresh) are not served yet") {
		t.Errorf("got %s", out)
	}
	if got := c.servers[0].exportOne(t, obj{"registered": "ann"}); got == nil {
		t.Error("a project that the server knows cannot be read")
	}
	event := obj{"customer_ids": obj{"registered": "ann"}, "event_type": "e", "properties": obj{}}
	status, answer, err := c.servers[0].ask(t.Context(), 1, "/track/v2/projects/{token}/customers/events", event)
	if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(fmt.Sprint(answer), "This project is new on this server") {
		t.Errorf("got %d %v, %v", status, answer, err)
	}
	others(syscall.SIGCONT)
	c.until("the new project is served", func() bool {
		status, _, err := c.servers[0].ask(t.Context(), 1, "/track/v2/projects/{token}/customers/events", event)
		return err == nil && status == http.StatusOK
	})
	c.until("the server is ready without a note", func() bool {
		status, text := c.ready(0)
		return status == http.StatusOK && text == "ready\n"
	})
}
