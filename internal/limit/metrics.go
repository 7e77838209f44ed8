package limit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector reads the limiter on each scrape. Its only labels are policy names,
// so no metric identifies a caller.
type collector struct {
	limiter *Limiter

	calls, refused, would, candidate, callers *prometheus.Desc
	bytes, slots, used, untracked             *prometheus.Desc
}

// NewCollector returns the metrics of a limiter. A scrape costs one
// [Limiter.Usage].
func NewCollector(l *Limiter) prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("trackway_limit_"+name, help, labels, nil)
	}
	const policy = "policy"
	return &collector{
		limiter:   l,
		calls:     desc("calls_total", "Calls that the policy decided about.", policy),
		refused:   desc("refused_total", "Calls that the policy refused.", policy),
		would:     desc("would_refuse_total", "Calls over the limit that the policy let pass, since its mode is report.", policy),
		candidate: desc("candidate_refused_total", "Calls that the policy's candidate limit would have refused.", policy),
		callers:   desc("callers", "Callers with a running window.", policy),
		bytes:     desc("table_bytes", "Memory of the table of counters; it never changes."),
		slots:     desc("table_slots", "Counters that the table can hold."),
		used:      desc("table_used_slots", "Counters that are in use."),
		untracked: desc("untracked_calls_total", "Calls that were admitted without being counted, because every counter that could have made room belonged to a refused caller."),
	}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.calls, c.refused, c.would, c.candidate, c.callers, c.bytes, c.slots, c.used, c.untracked} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	r := c.limiter.Usage(time.Now())
	gauge := func(d *prometheus.Desc, v int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i := range r.Policies {
		u := &r.Policies[i]
		counter(c.calls, u.Calls, u.Name)
		counter(c.refused, u.Refused, u.Name)
		counter(c.would, u.WouldRefuse, u.Name)
		counter(c.candidate, u.CandidateRefused, u.Name)
		gauge(c.callers, u.Callers, u.Name)
	}
	gauge(c.bytes, r.Table.Bytes)
	gauge(c.slots, r.Table.Slots)
	gauge(c.used, r.Table.Used)
	counter(c.untracked, r.Table.Untracked)
}
