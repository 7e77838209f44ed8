package alarm

import (
	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/config/alarming"
)

// collector shows how many alarms ring.
type collector struct{ *Watch }

var descRinging = prometheus.NewDesc("trackway_alarms_ringing", "Alarms that ring, by the kind of their rule.", []string{"kind"}, nil)

// Collector returns the metric of a watch.
func (w *Watch) Collector() prometheus.Collector { return collector{w} }

// Describe implements [prometheus.Collector].
func (collector) Describe(ch chan<- *prometheus.Desc) { ch <- descRinging }

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	ringing := c.Ringing()
	for _, kind := range alarming.Kinds() {
		ch <- prometheus.MustNewConstMetric(descRinging, prometheus.GaugeValue, float64(ringing[kind]), kind)
	}
}
