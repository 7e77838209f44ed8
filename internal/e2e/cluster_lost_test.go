package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestClusterLogLost: a server that has lost the log of the first partition
// says what to remove. Without that, it joins again, and has everything.
func TestClusterLogLost(t *testing.T) {
	t.Parallel()
	for _, several := range []bool{false, true} {
		t.Run(fmt.Sprint("several partitions: ", several), func(t *testing.T) {
			t.Parallel()
			c := prepareCluster(t, 3)
			if several {
				withPartitions(c, partitionSize)
			}
			c.operated()
			c.begin()
			applied := c.status(0).Applied
			c.servers[1].stop(t) // so that its data is on the disk
			c.remove(1, "p00", "log")
			c.start(1)
			var why string
			c.until("it says what to do", func() bool {
				_, why = c.ready(1)
				return strings.Contains(why, "its log is lost: stop it, remove ")
			})
			if _, out := c.try(1, "cluster", "init"); !strings.Contains(out, "its log is lost: stop it, remove ") {
				t.Errorf("init: got %s", out)
			}
			c.servers[1].kill(t)
			names := regexp.MustCompile("remove (.*?) from its data directory").FindStringSubmatch(why)
			if names == nil {
				t.Fatalf("ready: got %s", why)
			}
			for name := range strings.SplitSeq(names[1], ", ") {
				c.remove(1, name)
			}
			c.start(1)
			c.until("it waits for others", func() bool {
				_, why = c.ready(1)
				return strings.Contains(why, "not a member")
			})
			c.command(1, "join", c.members[0])
			c.servers[1].awaitReady(t)
			c.until("it serves all", func() bool {
				_, text := c.ready(1)
				return text == "ready\n" && c.status(1).Applied >= applied
			})
		})
	}
}
