package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/contract/book"
)

// keepContracts puts the contracts of a configuration in force.
func (s *server) keepContracts(reg prometheus.Registerer, projects []trackway.Project) {
	s.contracts = book.New(time.Now())
	s.contracts.Reload(projects, s.Config.Contracts)
	reg.MustRegister(s.contracts)
}
