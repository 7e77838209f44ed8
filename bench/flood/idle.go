package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// idle measures the share of the processors that had nothing to do.
type idle struct{ idle, all int }

func startIdle() idle {
	b, err := os.ReadFile("/proc/stat")
	must(err)
	line, _, _ := strings.Cut(string(b), "\n")
	var i idle
	for at, field := range strings.Fields(line)[1:9] {
		n, err := strconv.Atoi(field)
		must(err)
		i.all += n
		if at == 3 || at == 4 { // idle, or waiting for a disk
			i.idle += n
		}
	}
	return i
}

func (i idle) share() float64 {
	now := startIdle()
	return float64(now.idle-i.idle) / float64(max(1, now.all-i.all))
}

// processorTime returns the processor time that the living threads of a process
// have used. The kernel counts it in nanoseconds.
func processorTime(pid int) (used time.Duration) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	must(err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		n, err := strconv.ParseInt(strings.Fields(string(b))[0], 10, 64)
		must(err)
		used += time.Duration(n)
	}
	return used
}
