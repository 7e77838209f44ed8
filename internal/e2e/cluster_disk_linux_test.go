package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"trackway/internal/prereq"
	"trackway/internal/sleep"
)

// smallDisk puts a small file system at a directory.
func smallDisk(t *testing.T, dir string, mebibytes int) {
	t.Helper()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", mebibytes)); err != nil {
		prereq.Missing(t, prereq.Mount, "a file system cannot be mounted: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// fill writes a file that leaves so much room on its file system.
func fill(t *testing.T, name string, left uint64) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(name), &disk); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	free := disk.Bavail * uint64(disk.Bsize)
	if free > left {
		err = syscall.Fallocate(int(f.Fd()), 0, 0, int64(free-left))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestClusterDiskFull: a leader whose disk gets full hands leadership over
// before, takes no commands and says why, and comes back when there is room.
// Without a reserve it ends when its disk is full. The others go on.
func TestClusterDiskFull(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	c.settings = ", reserve: 64MiB"
	smallDisk(t, c.dirs[0], 256)
	c.begin()
	full, filler := c.servers[0], filepath.Join(c.dirs[0], "filler")
	full.log.mayHold("this server takes no commands")
	c.lead(0)
	fill(t, filler, 60<<20)
	full.awaitLine(t, clusterLine("disk_low", *clusterPartitions-1, 1))
	if status, text := get(t, full.ops, "/-/ready"); status != http.StatusServiceUnavailable || !bytes.Contains(text, []byte("cluster.reserve")) {
		t.Errorf("ready: got %d %s", status, text)
	}
	if got := full.do(t, visitOf(t, 0)); got.status != http.StatusServiceUnavailable || !bytes.Contains(got.body, []byte("cluster.reserve")) {
		t.Errorf("got %v", got)
	}
	for deadline := time.Now().Add(patience); c.leader() == 0; _ = sleep.For(t.Context(), lookAgain) {
		if time.Now().After(deadline) {
			t.Fatal("it still leads")
		}
	}
	for n := range 50 {
		if got := c.servers[1+n%2].again(t, visitOf(t, n)); !got.success() {
			t.Fatal(got)
		}
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	full.awaitLine(t, clusterLine("disk_low", *clusterPartitions-1, 0))
	c.settle()
	if got := strings.Count(string(full.do(t, request{path: "/api/projects/{token}/customers/registered=person-1/events"}).body), `"visit"`); got != 50 {
		t.Errorf("it has %d events, want 50", got)
	}

	c.settings = ", reserve: 0"
	full.stop(t)
	c.start(0)
	full = c.servers[0]
	full.log.mayHold("no room")
	full.log.mayHold("no space left on device")
	full.awaitReady(t)
	fill(t, filler, 0)
	ended := false
	for n := 0; n < 20_000 && !ended; n++ {
		if got := c.servers[1+n%2].again(t, visitOf(t, 1000+n)); !got.success() {
			t.Fatal(got)
		}
		select {
		case <-full.exited:
			ended = true
		default:
		}
	}
	if !ended || full.cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended: %t\n%s", ended, full.log)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	c.start(0)
	c.servers[0].awaitReady(t)
	c.settle()
}
