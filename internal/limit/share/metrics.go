package share

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// stats counts what a group does.
type stats struct{ asks, borrowed, lent, timeouts, skipped, dropped atomic.Uint64 }

// Collectors returns the metrics of a group.
func (g *Group) Collectors() []prometheus.Collector {
	counter := func(name, help string, of *atomic.Uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "trackway_limit_shared_" + name + "_total", Help: help},
			func() float64 { return float64(of.Load()) })
	}
	gauge := func(name, help string, f func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "trackway_limit_shared_" + name, Help: help}, func() float64 { return float64(f()) })
	}
	return []prometheus.Collector{
		counter("asks", "Asks to other servers to lend calls of a shared limit.", &g.stats.asks),
		counter("borrowed_calls", "Calls that other servers have lent.", &g.stats.borrowed),
		counter("lent_calls", "Calls that this server has lent to others.", &g.stats.lent),
		counter("timeouts", "Asks that were not answered in 50 ms.", &g.stats.timeouts),
		counter("skipped_asks", "Asks that were not sent, because the server did not answer before, or too many were waiting.", &g.stats.skipped),
		counter("dropped_rounds", "Calls for which nothing was borrowed, because that was under way for too many callers.", &g.stats.dropped),
		gauge("servers", "Servers that share limits, this one included.", g.Size),
		gauge("answering", "Of them, those that answer, this one included.", g.answering),
	}
}

// answering returns how many servers answer.
func (g *Group) answering() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 1
	for _, p := range g.peers {
		if p.answers() {
			n++
		}
	}
	return n
}
