package app

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/catalogue"
	"trackway/internal/contract/book"
	"trackway/internal/contract/suggest"
	"trackway/internal/contract/trial"
	"trackway/internal/query"
)

// keepContracts puts the contracts of a configuration in force.
func (s *server) keepContracts(reg prometheus.Registerer, projects []trackway.Project) {
	s.contracts = book.New()
	s.contracts.Reload(projects, s.Config.Contracts)
	reg.MustRegister(s.contracts)
	s.trials = &trials{s.contracts, s.store, func() *catalogue.Set { return s.catalogue }, make(chan struct{}, 1)}
}

// trials try contracts, one at a time.
type trials struct {
	*book.Book

	store     query.Store
	catalogue func() *catalogue.Set
	busy      chan struct{}
}

var errBusy = &trackway.Error{Code: trackway.Overloaded, Msg: "Other contracts are being tried. Try again in a moment."}

func (t *trials) enter() (leave func(), err error) {
	select {
	case t.busy <- struct{}{}:
		return func() { <-t.busy }, nil
	default:
		return nil, errBusy
	}
}

// Try tries contracts on the stored events.
func (t *trials) Try(ctx context.Context, q trial.Question) (trial.Result, error) {
	leave, err := t.enter()
	if err != nil {
		return trial.Result{}, err
	}
	defer leave()
	return trial.Run(ctx, t.store, q)
}

// Suggest proposes contracts for some types, or for all.
func (t *trials) Suggest(ctx context.Context, p *trackway.Project, types []string, patience time.Duration) ([]suggest.Proposal, error) {
	leave, err := t.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	v, err := t.catalogue().Types(p, types)
	if err != nil {
		return nil, err
	}
	return suggest.Make(ctx, t.store, p.Number, v.Types, trial.Question{Events: trial.PageEvents, Patience: patience})
}
