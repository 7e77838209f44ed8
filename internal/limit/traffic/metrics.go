package traffic

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// totals counts for operators who monitor the recorder.
type totals struct {
	unrecorded, failures atomic.Uint64
	bytes                atomic.Int64
}

// Register registers the metrics of the recorder. They identify no caller, and
// reading them is cheap.
func (r *Recorder) Register(reg prometheus.Registerer) {
	counter := func(name, help string, n *atomic.Uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(n.Load()) }))
	}
	counter("trackway_traffic_unrecorded_calls_total", "Calls for which there was no room in the record of calls.", &r.totals.unrecorded)
	counter("trackway_traffic_write_errors_total", "Attempts to write the record of calls that failed: what was to be written is lost.", &r.totals.failures)
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "trackway_traffic_record_bytes", Help: "Size of the record of calls, as of less than a minute ago.",
	}, func() float64 { return float64(r.totals.bytes.Load()) }))
}
