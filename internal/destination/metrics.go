package destination

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// collector shows the status of all destinations. Reasons come from kinds, and
// types and properties from clients; their numbers are bounded where they are
// counted.
type collector struct{ of *Manager }

// Collector returns the metrics of all destinations.
func (m *Manager) Collector() prometheus.Collector { return collector{m} }

const prefix = "trackway_destination_"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prefix+name, help, append([]string{"destination", "kind"}, labels...), nil)
}

var (
	descCursor   = desc("cursor", "Number of the last change that the destination has, or that does not concern it.")
	descLag      = desc("lag_events", "Changes after the cursor, including those that do not concern the destination.")
	descSeconds  = desc("lag_seconds", "Time since the first event after the cursor was received.")
	descBatches  = desc("batches_total", "Batches written.")
	descRows     = desc("rows_total", "Rows written.")
	descRejected = desc("rejected_rows_total", "Rows that can never fit into the destination, and were left out; counted since the file of rejects began.", "reason")
	descRetries  = desc("retries_total", "Attempts that failed and were repeated.", "reason")
	descSuccess  = desc("last_success_timestamp_seconds", "Time of the last batch that was written; 0: none since the start.")
	descPaused   = desc("paused", "1 if an operator has paused the destination.")
	descStopped  = desc("stopped", "1 if the destination waits for an operator, because repeating does not help.")
	descMisfits  = desc("misfits_total", "Values that do not fit into their column, and are NULL there.", "type", "property")
	descLost     = desc("lost_changes_total", "Changes that the store could not read, and that were left out.")
	descMissed   = desc("missed_events_total", "Events that expired before the destination had them.")
	descLetsGo   = desc("lets_go", "1 if events expire although the destination does not have them: retention is let_go, or it lags more than hold allows.")
)

// Describe implements [prometheus.Collector].
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descCursor, descLag, descSeconds, descBatches, descRows, descRejected, descRetries, descSuccess, descPaused, descStopped, descMisfits,
		descLost, descMissed, descLetsGo,
	} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.of.List() {
		show := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
			for i := range labels {
				labels[i] = strings.ToValidUTF8(labels[i], "\ufffd")
			}
			to <- prometheus.MustNewConstMetric(d, kind, value, append([]string{s.Name, s.Kind}, labels...)...)
		}
		is := func(d *prometheus.Desc, yes bool) {
			value := 0.0
			if yes {
				value = 1
			}
			show(d, prometheus.GaugeValue, value)
		}
		show(descCursor, prometheus.GaugeValue, float64(s.Position))
		show(descLag, prometheus.GaugeValue, float64(s.LagEvents))
		show(descSeconds, prometheus.GaugeValue, s.Lag.Seconds())
		show(descBatches, prometheus.CounterValue, float64(s.Batches))
		show(descRows, prometheus.CounterValue, float64(s.Rows))
		for reason, n := range s.Rejected {
			show(descRejected, prometheus.CounterValue, float64(n), reason)
		}
		for reason, n := range s.Retries {
			show(descRetries, prometheus.CounterValue, float64(n), reason)
		}
		success := 0.0
		if !s.Success.IsZero() {
			success = float64(s.Success.UnixMilli()) / 1000
		}
		show(descSuccess, prometheus.GaugeValue, success)
		is(descPaused, s.State == Paused)
		is(descStopped, s.State == Stopped)
		for _, f := range s.Misfits {
			show(descMisfits, prometheus.CounterValue, float64(f.Values), f.Type, f.Property)
		}
		show(descLost, prometheus.CounterValue, float64(s.Lost))
		show(descMissed, prometheus.CounterValue, float64(s.Missed))
		is(descLetsGo, s.LetsGo)
	}
}
