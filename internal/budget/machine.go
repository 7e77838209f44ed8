package budget

import (
	"bufio"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// find returns how much memory the process may use, in bytes. configured is the
// operator's limit, goLimit that of GOMEMLIMIT; 0 means that there is no limit.
// root is the file system of the machine ([os.DirFS] of "/"). Without either
// limit, the result is three quarters of the control group's limit, since the
// kernel counts buffers of sockets and files against that too. Without a
// control group, it is half of the machine's memory. In both cases, it is at
// most [Default].
func find(configured, goLimit int64, root fs.FS) int64 {
	switch {
	case configured > 0:
		return configured
	case goLimit > 0:
		return max(goLimit, Least)
	}
	figure := int64(Default)
	if total := machine(root) / 2; total > 0 {
		figure = min(figure, total)
	}
	if limit := cgroup(root) / 4 * 3; limit > 0 {
		figure = min(figure, limit)
	}
	return max(figure, Least)
}

// machine returns the machine's memory in bytes (proc(5)), or 0 if it is
// unknown.
func machine(root fs.FS) int64 {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64) // 0 if unknown
			return kib << 10
		}
	}
	return 0
}

// cgroup returns the lowest memory limit of the process's control groups,
// version 2 or 1 (cgroups(7)), or 0 if no limit is set.
func cgroup(root fs.FS) int64 {
	f, err := root.Open("proc/self/cgroup")
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }() // it was only read
	lowest := int64(0)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		number, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		var at, name string
		switch {
		case number == "0" && controllers == "":
			at, name = "sys/fs/cgroup", "memory.max"
		case strings.Contains(","+controllers+",", ",memory,"):
			at, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// The limits of the enclosing groups apply too. In a container, the
		// path of the group may not exist: the topmost group is then the
		// container's own.
		for group := path.Join("/", group); ; group = path.Dir(group) {
			if n := limitIn(root, path.Join(at, group, name)); n > 0 && (lowest == 0 || n < lowest) {
				lowest = n
			}
			if group == "/" {
				break
			}
		}
	}
	return lowest
}

// limitIn reads a limit. "max" means that there is no limit, as does the huge
// number that version 1 writes instead.
func limitIn(root fs.FS, name string) int64 {
	const none = 1 << 60
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n >= none {
		return 0
	}
	return n
}
