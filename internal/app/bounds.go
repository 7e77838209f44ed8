package app

import (
	"log/slog"
	"math"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/budget"
	"trackway/internal/config"
	"trackway/internal/door"
	"trackway/internal/store"
)

// bounds is what the process may take, and what of it each part gets.
type bounds struct {
	memory budget.Memory
	from   string // where the figure of memory is from
	files  budget.Files
	tls    bool
}

// boundsOf finds out what the process may take, and tells Go's runtime, unless
// GOMEMLIMIT has done so. It is an error if the store may open too few files.
func boundsOf(cfg *config.Config) (bounds, error) {
	files := openFiles()
	storeFiles, err := store.Descriptors(uint64(files))
	if err != nil {
		return bounds{}, err
	}
	goLimit := debug.SetMemoryLimit(-1)
	if goLimit == math.MaxInt64 {
		goLimit = 0
	}
	figure := budget.Find(cfg.Memory.MaxBytes(), goLimit, os.DirFS("/"))
	b := bounds{memory: budget.Split(figure.Bytes), from: figure.From, tls: cfg.TLS.Cert != ""}
	b.files = budget.SplitFiles(files, storeFiles)
	if goLimit == 0 {
		debug.SetMemoryLimit(b.memory.Runtime)
	}
	return b, nil
}

// openFiles returns how many files the process may have open.
func openFiles() int {
	const unknown, most = 1024, 1 << 20
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return unknown
	}
	return int(min(l.Cur, most))
}

// public returns how much the public listener's door lets in. What the
// configuration asks for beyond what can be carried is said.
func (b bounds) public(cfg *config.Config, log *slog.Logger) door.Bounds {
	carried, headers := b.memory.MostConnections(b.tls)
	most := min(carried, b.files.Connections)
	if asked := int(cfg.Connections.Max); asked > most {
		log.Warn("connections.max is more than can be carried", "asked", asked, "by_memory", carried, "by_open_files", b.files.Connections,
			"in_force", most)
	} else if asked > 0 {
		most = asked
	}
	return door.Bounds{Max: most, PerAddress: int(cfg.Connections.PerAddress), Headers: headers}
}

// operator returns how much the doors of the operator's listener and of the
// control socket let in: files are kept for them, so that a full public
// listener can be looked at.
func (b bounds) operator() door.Bounds { return door.Bounds{Max: b.files.Operator} }

// collectors returns the bounds as metrics.
func (b bounds) collectors() []prometheus.Collector {
	memory := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "trackway_memory_bound_bytes", Help: "Memory that the process may take (all), and its parts.",
	}, []string{"part"})
	for part, n := range map[string]float64{
		"all": float64(b.memory.Max), "runtime": float64(b.memory.Runtime), "bodies": float64(b.memory.Bodies),
		"connections": float64(b.memory.Connections), "answers": float64(b.memory.Answers), "cache": float64(b.memory.Cache),
		"mem_tables": 4 * float64(b.memory.MemTable),
	} {
		memory.WithLabelValues(part).Set(n)
	}
	files := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "trackway_files_bound", Help: "Files that the process may have open (all), and who they are kept for.",
	}, []string{"part"})
	for part, n := range map[string]int{
		"all": b.files.Limit, "store": b.files.Store, "operator": 2 * b.files.Operator, "connections": b.files.Connections,
	} {
		files.WithLabelValues(part).Set(float64(n))
	}
	return []prometheus.Collector{memory, files}
}

// newDoor returns the door of a listener.
func newDoor(b door.Bounds, trusted func(netip.Addr) bool, log *slog.Logger) *door.Door {
	return door.New(door.Config{Bounds: b, HeaderTime: headerTimeout, Trusted: trusted, Full: failedAccepts(log)})
}

// failedAccepts returns what logs that connections cannot be accepted: once a
// minute, for there may be many.
func failedAccepts(log *slog.Logger) func(error) {
	var next atomic.Int64
	return func(err error) {
		now := time.Now()
		if due := next.Load(); now.Unix() >= due && next.CompareAndSwap(due, now.Add(time.Minute).Unix()) {
			log.Warn("a connection cannot be accepted: idle ones are closed to make place", "err", err)
		}
	}
}
