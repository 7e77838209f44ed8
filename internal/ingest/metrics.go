package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
)

// metrics counts commands by outcome.
type metrics struct {
	stored, duplicate, refused, failed, uncounted prometheus.Counter

	leftOut *prometheus.CounterVec
}

// New returns an Ingest on store and registers its metrics with reg. contracts
// may be nil.
func New(store Store, contracts Contracts, reg prometheus.Registerer) *Ingest {
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_commands_total",
		Help: "Commands by outcome: stored durably, a duplicate of a stored event, refused as invalid, or failed because of the server.",
	}, []string{"outcome"})
	uncounted := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "trackway_commands_uncounted_total",
		Help: "Refused commands that the store could not count, so usage shows too few. Each one means a fault of the disk or the store.",
	})
	leftOut := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "trackway_identifiers_left_out_total",
		Help: "Identifiers of commands that name nobody and were left out, by project, name of the identifier, and why: " +
			"empty (null, nothing, white space), listed (as the project's nobody), signs (no letter or digit). " +
			"Many of them mean that a client sends a value that it does not have.",
	}, []string{"project", "identifier", "why"})
	reg.MustRegister(outcomes, uncounted, leftOut)
	return &Ingest{store: store, contracts: contracts, metrics: &metrics{
		stored:    outcomes.WithLabelValues("stored"),
		duplicate: outcomes.WithLabelValues("duplicate"),
		refused:   outcomes.WithLabelValues("refused"),
		failed:    outcomes.WithLabelValues("failed"),
		uncounted: uncounted,
		leftOut:   leftOut,
	}}
}

// count counts commands by outcome, and the identifiers that were left out of
// them.
func (m *metrics) count(p *trackway.Project, cmds []trackway.Command, results []trackway.Result) {
	var stored, duplicate, refused float64
	for i := range results {
		m.countLeftOut(p, cmds[i].LeftOut)
		switch {
		case results[i].Err != nil:
			refused++
		case cmds[i].Kind == trackway.Nothing:
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

// countLeftOut counts identifiers that were left out. The labels are names from
// the configuration, so their number does not depend on the traffic.
func (m *metrics) countLeftOut(p *trackway.Project, left []trackway.Identifier) {
	for i := range left {
		m.leftOut.WithLabelValues(p.Name, left[i].Name, left[i].WhyLeftOut()).Inc()
	}
}
