package budget

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
)

// Budget is how much the process may use, by part of the server.
type Budget struct {
	Memory Memory
	Files  Files
}

// Take finds out how much the process may use. It sets the memory limit of Go's
// runtime, unless GOMEMLIMIT is set, and how much garbage may gather, unless
// GOGC is set to a value other than 100. memory is the number of bytes that the
// operator allows, or 0 if the operator sets none, and stores the number of
// stores. store returns how many files a store needs if it may use a number of
// them, or an error if they are too few.
func Take(memory int64, stores int, store func(files uint64) (int, error)) (Budget, error) {
	files := openFiles()
	storeFiles, err := store(uint64(files / stores))
	if err != nil && stores > 1 {
		return Budget{}, fmt.Errorf("each of %d partitions has its share of %d open files: %w", stores, files, err)
	} else if err != nil {
		return Budget{}, err
	}
	goLimit := debug.SetMemoryLimit(-1)
	if goLimit == math.MaxInt64 {
		goLimit = 0
	}
	b := Budget{split(find(memory, goLimit, os.DirFS("/")), stores), splitFiles(files, stores*storeFiles)}
	if goLimit == 0 {
		debug.SetMemoryLimit(b.Memory.Runtime)
	}
	const usual = 100 // Go's own
	if asked := debug.SetGCPercent(idleGarbage); asked != usual {
		debug.SetGCPercent(asked)
	} else {
		newAdjuster().adjust()
	}
	return b, nil
}

// openFiles returns how many files the process may open.
func openFiles() int {
	const unknown, most = 1024, 1 << 20
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return unknown
	}
	return int(min(l.Cur, most))
}

// Connections returns how many connections the public listener may have, and
// how many bytes longer headers may use in all. asked is the number that the
// operator wants, or 0 if the operator sets none. If that is too many,
// Connections reduces and logs it.
func (b *Budget) Connections(asked int, tls bool, log *slog.Logger) (most, headers int) {
	carried, headers := b.Memory.mostConnections(tls)
	most = min(carried, b.Files.Connections)
	if asked > most {
		log.Warn("connections.max is too high for the memory or the open files", "asked", asked, "by_memory", carried, "by_open_files", b.Files.Connections,
			"in_force", most)
	} else if asked > 0 {
		most = asked
	}
	return most, headers
}

// Collectors returns the parts as metrics.
func (b *Budget) Collectors() []prometheus.Collector {
	m, f := &b.Memory, &b.Files
	memory := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "trackway_memory_bound_bytes", Help: "Memory that the process may use (all), and the share of each part.",
	}, []string{"part"})
	for part, n := range map[string]int64{
		"all": m.Max, "runtime": m.Runtime, "bodies": int64(m.Bodies), "connections": int64(m.Connections),
		"answers": int64(m.Answers), "cache": m.Cache, "known": m.Known, "mem_tables": m.tables(),
	} {
		memory.WithLabelValues(part).Set(float64(n))
	}
	files := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "trackway_files_bound", Help: "Files that the process may have open (all), and the share of each part.",
	}, []string{"part"})
	for part, n := range map[string]int{"all": f.Limit, "store": f.Store, "operator": 3 * f.Operator, "connections": f.Connections} {
		files.WithLabelValues(part).Set(float64(n))
	}
	return []prometheus.Collector{memory, files}
}
