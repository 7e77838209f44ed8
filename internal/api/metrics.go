package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the public listener. Labels are routes of the table, statuses, and names from the configuration: their number does
// not depend on the traffic.
type metrics struct {
	seconds *prometheus.HistogramVec
	limited *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "trackway_http_request_duration_seconds",
		Help:    "Time from a request's first step to its answer, by route and status.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	}, []string{"method", "route", "status"}), limited: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_limited_calls_total",
		Help: "Calls over a rate limit, by the policy that refused them and the name of the project in their path; empty if it is none of ours.",
	}, []string{"policy", "project"})}
	reg.MustRegister(m.seconds, m.limited)
	return m
}

// observe measures the call, once.
func (c *call) observe() {
	if c.observed {
		return
	}
	c.observed = true
	c.metrics.seconds.WithLabelValues(c.route.method, c.route.path, strconv.Itoa(c.status)).Observe(time.Since(c.received).Seconds())
}
