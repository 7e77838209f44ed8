package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
)

// metrics counts commands by what became of them.
type metrics struct{ stored, duplicate, refused, failed, uncounted prometheus.Counter }

// New returns an Ingest on store, whose metrics are registered with reg.
func New(store Store, reg prometheus.Registerer) *Ingest {
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_commands_total",
		Help: "Commands taken in, by outcome: stored durably, a duplicate of a stored event, refused as invalid, failed on our side.",
	}, []string{"outcome"})
	uncounted := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "trackway_commands_uncounted_total",
		Help: "Refused commands that the store could not count: usage shows fewer. Any of them is a fault of the disk or of the store.",
	})
	reg.MustRegister(outcomes, uncounted)
	return &Ingest{store: store, metrics: &metrics{
		stored:    outcomes.WithLabelValues("stored"),
		duplicate: outcomes.WithLabelValues("duplicate"),
		refused:   outcomes.WithLabelValues("refused"),
		failed:    outcomes.WithLabelValues("failed"),
		uncounted: uncounted,
	}}
}

func (m *metrics) count(results []trackway.Result) {
	var stored, duplicate, refused float64
	for i := range results {
		switch {
		case results[i].Err != nil:
			refused++
		case results[i].Duplicate:
			duplicate++
		default:
			stored++
		}
	}
	m.stored.Add(stored)
	m.duplicate.Add(duplicate)
	m.refused.Add(refused)
}
