package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// TestClusterPartitionMounted: the disk of a partition is not mounted when a
// server starts, so the server gets its copy again, under another id. Before it
// has it, the server ends, and starts with the old copy again, whose log says
// that it is a member. It finds out that it is not, and gets its copy again.
func TestClusterPartitionMounted(t *testing.T) {
	t.Parallel()
	c := prepareCluster(t, 3)
	withPartitions(c, partitionSize)
	c.operated()
	c.begin()
	served := func() bool {
		_, text := c.ready(1)
		return text == "ready\n"
	}
	c.until("it serves all", served)
	data := filepath.Join(c.dirs[1], "data")
	there, away, list := filepath.Join(data, "p01"), filepath.Join(c.dirs[1], "away"), filepath.Join(data, "held.json")
	first, _ := c.idIn(0, 1, 1)
	c.servers[1].kill(t)
	if err := os.Rename(there, away); err != nil {
		t.Fatal(err)
	}
	c.start(1)
	second := ""
	c.until("it has a vote under a new id", func() bool {
		id, votes := c.idIn(0, 1, 1)
		second = id
		return id != "" && id != first && votes == 3
	})
	c.servers[1].kill(t)
	c.remove(1, "p01")
	if err := os.Rename(away, there); err != nil {
		t.Fatal(err)
	}
	// As it was while the server joined: it may have ended that just now.
	if err := os.WriteFile(list, []byte(`{"held": [1, 2], "joining": [1], "gone": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.start(1)
	c.servers[1].awaitReady(t)
	c.until("it has a vote under a third id", func() bool {
		id, votes := c.idIn(0, 1, 1)
		return id != "" && id != first && id != second && votes == 3
	})
	c.until("it serves all", served)
}
