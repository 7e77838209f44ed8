package control

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/contract/book"
	"trackway/internal/contract/suggest"
	"trackway/internal/contract/trial"
)

// contracts is what operators can do with contracts.
type contracts interface {
	View(number uint32, name string, now time.Time, may func(typ string) bool) *book.View

	// Try tries contracts on the stored events, as package trial does. One is
	// tried at a time.
	Try(ctx context.Context, q trial.Question) (trial.Result, error)

	// Suggest proposes contracts for some types, or for all if the list is
	// empty. It refuses unknown types.
	Suggest(ctx context.Context, p *trackway.Project, types []string, patience time.Duration) ([]suggest.Proposal, error)
}

// contractRoutes returns the routes for contracts.
func contractRoutes() map[string]func(*call) error {
	return map[string]func(*call) error{
		"GET /contracts":           (*call).contracts,
		"GET /contracts/suggest":   (*call).suggestContracts,
		"POST /contracts/simulate": (*call).simulateContracts,
	}
}

func (c *call) contracts() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	return c.json(c.Contracts.View(p.Number, p.Name, time.Now(), nil))
}

func (c *call) suggestContracts() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	all, err := c.Contracts.Suggest(c.r.Context(), p, c.query["type"], time.Minute)
	if err != nil {
		return err
	}
	return c.json(all)
}

// simulateContracts tries the contracts in the body, and says how far it is.
func (c *call) simulateContracts() error {
	p, err := c.project()
	if err != nil {
		return err
	}
	q := trial.Question{Project: p.Number, Events: trial.CommandEvents, Patience: trial.CommandPatience}
	if text := c.query.Get("events"); text != "" {
		if q.Events, err = strconv.ParseUint(text, 10, 64); err != nil || q.Events == 0 {
			return ask.Invalid("events", "how many events to look at, at least 1")
		}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, trial.MaxSent))
	if err != nil {
		return refuse("contracts", "The contracts are larger than 1 MiB.")
	}
	if q.Contracts, err = trial.Read(body); err != nil {
		return err
	}
	lines, flush := json.NewEncoder(c), http.NewResponseController(c.w)
	q.Progress = func(r trial.Result) {
		c.as("application/x-ndjson")
		_ = lines.Encode(trial.Line{Progress: &r}) // if the caller has gone, the context ends
		_ = flush.Flush()
	}
	r, err := c.Contracts.Try(c.r.Context(), q)
	switch {
	case err == nil:
		return lines.Encode(trial.Line{Result: &r})
	case !c.started:
		return err
	}
	return lines.Encode(trial.Line{Error: err.Error()})
}
