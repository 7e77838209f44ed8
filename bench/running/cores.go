package running

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Cores limits each server that is started to so many processors, as if it had
// a machine of its own: servers that share processors take them from each
// other. 0: no limit. It needs root, and the control groups of Linux.
var Cores float64

// period is how often a server gets its share, in microseconds. It is short,
// because a server that has used up its share waits for the next one.
const period = 10_000

// confine limits a process to [Cores].
func confine(pid int) {
	if Cores == 0 {
		return
	}
	group, limits := groupOf(pid)
	must(os.Mkdir(group, 0o755))
	for name, limit := range limits {
		must(os.WriteFile(filepath.Join(group, name), []byte(limit), 0))
	}
	must(os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
}

// release removes the control group of a process that has ended.
func release(pid int) {
	if Cores > 0 {
		group, _ := groupOf(pid)
		_ = os.Remove(group)
	}
}

// groupOf returns the control group of a process, and what limits it.
func groupOf(pid int) (folder string, limits map[string]string) {
	quota := strconv.Itoa(int(Cores * period))
	folder, limits = "/sys/fs/cgroup", map[string]string{"cpu.max": fmt.Sprint(quota, " ", period)} // version 2
	if _, err := os.Stat(folder + "/cgroup.controllers"); err != nil {
		folder, limits = folder+"/cpu", map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": quota}
	}
	return filepath.Join(folder, fmt.Sprint("trackway-bench-", pid)), limits
}
