package running

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ProcessorTime returns the processor time that the server's processes have
// used, including all processes that they started. The kernel counts it in
// hundredths of a second.
func (s *Server) ProcessorTime() time.Duration {
	ticks := 0
	for _, p := range s.processes() {
		ticks += p.ticks
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// Memory returns the bytes of memory that the server's processes have, with all
// that they started. It counts once the pages that they share.
func (s *Server) Memory() (bytes int64) {
	for pid := range s.processes() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(text), "\nPss:")
		kilobytes, err := strconv.Atoi(strings.Fields(after)[0])
		must(err)
		bytes += int64(kilobytes) << 10
	}
	return bytes
}

// process is a process as proc_pid_stat(5) describes it.
type process struct {
	parent int
	ticks  int // its own, and those of its children that have ended
}

// processes returns the server's processes and all that descend from them, by
// process id.
func (s *Server) processes() map[int]process {
	all := map[int]process{}
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	must(err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		must(err)
		_, after, _ := strings.Cut(string(text), ") ") // after the name, which may hold anything
		fields := strings.Fields(after)
		number := func(field int) int {
			n, err := strconv.Atoi(fields[field])
			must(err)
			return n
		}
		all[pid] = process{parent: number(1), ticks: number(11) + number(12) + number(13) + number(14)}
	}
	ours := map[int]process{}
	for pid := range all {
		for up := pid; up > 1; up = all[up].parent {
			if s.started(up) {
				ours[pid] = all[pid]
				break
			}
		}
	}
	return ours
}

func (s *Server) started(pid int) bool {
	for _, cmd := range s.cmds {
		if cmd.Process.Pid == pid {
			return true
		}
	}
	return false
}
