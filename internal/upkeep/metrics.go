package upkeep

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ erased, expired, failures, doubts prometheus.Counter }

func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "trackway_upkeep_" + name, Help: help})
		reg.MustRegister(c)
		return c
	}
	return &metrics{
		erased:   counter("erasures_total", "Erasures whose last byte is gone from the store's files."),
		expired:  counter("expired_events_total", "Events removed because they were older than they are to be kept."),
		doubts:   counter("clock_doubts_total", "Searches for old events that were skipped because the clock may be wrong."),
		failures: counter("failures_total", "Clean-ups and searches for old events that failed and will be repeated."),
	}
}
