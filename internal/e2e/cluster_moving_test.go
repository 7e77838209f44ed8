package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestClusterMoving: of five servers, three hold all partitions. Operators move
// data in and out at any server, and watch it there. An import through a server
// that holds none of the project is interrupted by the loss of a holder, and
// goes on; every row is stored once. An export that a holder has not sent whole
// fails. A backup has all partitions, and a new cluster begins with it.
func TestClusterMoving(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 5)
	withPartitions(c, partitions)
	c.begin()
	const away, last = 1, 4 // a project, and a server that does not hold it
	if held := c.onDisk(last); !slices.Equal(held, []int{0}) {
		t.Fatalf("the last server holds %v", held)
	}
	for project := range partitions {
		if status, answer, err := c.servers[3].askAgain(t, project, "/track/v2/projects/{token}/customers/events", obj{"customer_ids": obj{"registered": "first"}, "event_type": "first"}); err != nil || status != http.StatusOK {
			t.Fatal(status, answer, err)
		}
	}
	rows := movedThrough(t, c, away, last)
	exports := sameExports(t, c)
	if got := names(t, exports[away], "moved"); len(got) != rows {
		t.Errorf("%d rows were stored, want %d", len(got), rows)
	} else {
		for name, n := range got {
			if n != 1 {
				t.Errorf("%s was stored %d times", name, n)
			}
		}
	}
	cutOff(t, c, away, last, exports[away])
	watchedFrom(t, c, away, last)
	broughtBack(t, c, last)
}

// movedThrough imports rows through a server, while the one that leads the
// partition of the project is killed. It returns how many there are.
func movedThrough(t *testing.T, c *cluster, project, at int) (rows int) {
	t.Helper()
	rows = 12_000
	file := filepath.Join(t.TempDir(), "rows.ndjson")
	var b bytes.Buffer
	for n := range rows {
		fmt.Fprintf(&b, `{"name":"customers/events","data":{"customer_ids":{"registered":"mover-%d"},"event_type":"moved",`+
			`"timestamp":%d.5,"properties":{"name":"row-%d","padding":"%s"}}}`+"\n", n%100, loadTime+n, n, strings.Repeat("x", 1000))
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"import", "-q", "--project", fmt.Sprint("p", project), file}
	cmd := tool(t, c.servers[at], args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	awaitProgress(t, c.servers[at], 0, file)
	victim := c.leaderOf(at, project)
	c.servers[victim].kill(t)
	if err := cmd.Wait(); err != nil {
		t.Logf("the import was interrupted: %s", &errs)
		c.until("the import goes on, to its end", func() bool { return tool(t, c.servers[at], args...).Run() == nil })
	}
	c.start(victim)
	c.servers[victim].awaitReady(t)
	return rows
}

// sameExports exports all projects at all servers, which give the same.
func sameExports(t *testing.T, c *cluster) (exports []string) {
	t.Helper()
	for project := range partitions {
		seen := map[string][]int{}
		text := ""
		for i, s := range c.servers {
			text = s.run(t, 0, "export", "--project", fmt.Sprint("p", project))
			sum := sha256.Sum256([]byte(text))
			seen[hex.EncodeToString(sum[:4])] = append(seen[hex.EncodeToString(sum[:4])], i)
		}
		if len(seen) != 1 || !strings.Contains(text, `"first"`) {
			t.Errorf("project %d: the servers export %v, the last one %d bytes", project, seen, len(text))
		}
		exports = append(exports, text)
	}
	return exports
}

// leaderOf returns the server that leads a partition, as a server says, and
// waits until it knows one.
func (c *cluster) leaderOf(at, part int) (leader int) {
	c.t.Helper()
	c.until("it knows who leads", func() bool {
		leader = c.partitionLeaders(at)[part]
		return leader >= 0
	})
	return leader
}

// cutOff kills the server that sends an export to another one. The export
// fails. Another server sends the next one. The leader sends it, as far as the
// other one knows: what it knows is some seconds old, so another server than
// the one that is killed may send it. Then the export is whole, and it is done
// again.
func cutOff(t *testing.T, c *cluster, project, at int, want string) {
	t.Helper()
	const most = 5
	for tries := 1; tries <= most; tries++ {
		victim, status, got, said := cutOnce(t, c, project, at)
		again := c.servers[at].run(t, 0, "export", "--project", fmt.Sprint("p", project))
		c.start(victim)
		c.servers[victim].awaitReady(t)
		if status == 0 && got == want {
			continue
		}
		if status != 1 || len(got) >= len(want) || !strings.Contains(said, "the export is not complete") {
			t.Errorf("an export of %d bytes that was cut off has %d, and ends with %d: %s", len(want), len(got), status, said)
		}
		if again != want {
			t.Errorf("the next export has %d bytes, want %d", len(again), len(want))
		}
		return
	}
	t.Errorf("no export was cut off, in %d tries", most)
}

// cutOnce kills the leader of a partition during an export.
func cutOnce(t *testing.T, c *cluster, project, at int) (victim, status int, got, said string) {
	t.Helper()
	s := c.servers[at]
	cmd := tool(t, s, "export", "--project", fmt.Sprint("p", project))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	some := make([]byte, 1000)
	if _, err := io.ReadFull(out, some); err != nil {
		t.Fatal(err, errs.String())
	}
	victim = c.leaderOf(at, project)
	c.servers[victim].kill(t)
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // its status says it
	return victim, cmd.ProcessState.ExitCode(), string(some) + string(rest), errs.String()
}

// watchedFrom watches a project from a server that does not hold it.
func watchedFrom(t *testing.T, c *cluster, project, at int) {
	t.Helper()
	cmd := tool(t, c.servers[at], "tail", "--project", fmt.Sprint("p", project), "--last", "1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i, want := range []string{`"row-11999"`, `"now"`} {
		if i == 1 {
			if status, answer, err := c.servers[3].askAgain(t, project, "/track/v2/projects/{token}/customers/events", obj{"customer_ids": obj{"registered": "first"}, "event_type": "now"}); err != nil || status != http.StatusOK {
				t.Fatal(status, answer, err)
			}
		}
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Errorf("got %s, want %s", lines.Text(), want)
		}
		late.Stop()
	}
	_ = cmd.Process.Kill() // it may have been killed
	_ = cmd.Wait()         // it was killed
}

// broughtBack backs up at a server that does not hold everything, and begins a
// new cluster with the backup.
func broughtBack(t *testing.T, c *cluster, at int) {
	t.Helper()
	s, backups := c.servers[at], filepath.Join(t.TempDir(), "backups")
	part := s.run(t, 0, "backup", backups, "--held")
	if !strings.Contains(part, "Partition p01 is not in it") || !strings.Contains(part, "of p00") || strings.Contains(part, "of p01") {
		t.Errorf("got %s", part)
	}
	s.run(t, 1, "restore", backups, "--data", filepath.Join(c.dirs[at], "none"))
	first := s.run(t, 0, "backup", backups)
	again := s.run(t, 0, "backup", backups)
	if strings.Contains(first, "Partition p") || strings.Contains(again, "partition p") || !strings.Contains(again, "of p02") {
		t.Errorf("got %s%s", first, again)
	}
	next := prepareCluster(t, 1)
	next.whole = c.whole
	next.start(0) // it writes the configuration
	next.servers[0].kill(t)
	data := filepath.Join(next.dirs[0], "data")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary(t), "restore", backups, "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	next.begin()
	next.servers[0].log.mayHold("its position belongs to another store")
	for project := range partitions {
		args := []string{"export", "--project", fmt.Sprint("p", project)}
		if got, want := next.servers[0].run(t, 0, args...), s.run(t, 0, args...); got != want || !strings.Contains(got, `"first"`) {
			t.Errorf("project %d: the restored server exports %d bytes, want %d", project, len(got), len(want))
		}
	}
}
