package traffic

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// totals are for those who watch over the recorder.
type totals struct {
	unrecorded, failures atomic.Uint64
	bytes                atomic.Int64
}

// NewCollector returns the metrics of a recorder. None tells of a caller, and reading them costs nothing.
func NewCollector(r *Recorder) prometheus.Collector {
	name := func(s string) string { return "trackway_traffic_" + s }
	return collectors{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: name("unrecorded_calls_total"), Help: "Calls for which there was no room in the record of calls.",
		}, func() float64 { return float64(r.totals.unrecorded.Load()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: name("write_errors_total"), Help: "Attempts to write the record of calls that failed: what was to be written is lost.",
		}, func() float64 { return float64(r.totals.failures.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: name("record_bytes"), Help: "Size of the record of calls, as of less than a minute ago.",
		}, func() float64 { return float64(r.totals.bytes.Load()) }),
	}
}

// collectors are several as one.
type collectors []prometheus.Collector

// Describe implements [prometheus.Collector].
func (cs collectors) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range cs {
		c.Describe(ch)
	}
}

// Collect implements [prometheus.Collector].
func (cs collectors) Collect(ch chan<- prometheus.Metric) {
	for _, c := range cs {
		c.Collect(ch)
	}
}
