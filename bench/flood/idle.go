package main

import (
	"os"
	"strconv"
	"strings"
)

// idle measures what share of the processors had nothing to do.
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
		if at == 3 || at == 4 { // idle, and waiting for a disk
			i.idle += n
		}
	}
	return i
}

func (i idle) share() float64 {
	now := startIdle()
	return float64(now.idle-i.idle) / float64(max(1, now.all-i.all))
}
