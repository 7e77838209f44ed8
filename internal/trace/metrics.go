package trace

import "github.com/prometheus/client_golang/prometheus"

// metrics count what becomes of spans.
type metrics struct{ exported, dropped, failed prometheus.Counter }

func newMetrics(reg prometheus.Registerer) metrics {
	spans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_traces_spans_total",
		Help: "Spans by what became of them: exported, dropped because the queue was full, or failed because the collector did not take them.",
	}, []string{"outcome"})
	reg.MustRegister(spans)
	return metrics{spans.WithLabelValues("exported"), spans.WithLabelValues("dropped"), spans.WithLabelValues("failed")}
}
