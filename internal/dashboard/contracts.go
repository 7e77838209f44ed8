package dashboard

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/contract"
	"trackway/internal/contract/book"
	"trackway/internal/contract/schema"
	"trackway/internal/contract/suggest"
	"trackway/internal/contract/trial"
)

// Contracts is what the pages can do with contracts.
type Contracts interface {
	// View returns the contracts of a project, of all types if may is nil.
	View(number uint32, name string, now time.Time, may func(typ string) bool) *book.View

	// Try tries contracts on the stored events. One is tried at a time.
	Try(ctx context.Context, q trial.Question) (trial.Result, error)

	// Suggest proposes contracts for types. It refuses unknown types.
	Suggest(ctx context.Context, p *trackway.Project, types []string, patience time.Duration) ([]suggest.Proposal, error)
}

// contracts answers with the contracts of a project.
func (q *request) contracts() error {
	p, err := q.project(q.param("project"))
	if err != nil {
		return err
	}
	body := contractsBody{secondsOf(q.now), q.Contracts.View(p.Number, p.Name, q.now, nil)}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type contractsBody struct {
	Now seconds `json:"now"`
	*book.View
}

// tryContract answers with what a contract would have done to the newest stored
// events. A schema that is wrong is no error: somebody is writing it.
func (q *request) tryContract() error {
	body, err := io.ReadAll(q.r.Body) // it is bounded: see the table of routes
	if err != nil {
		return err
	}
	var sent struct{ Project, Type, Schema *string } // pointers, to distinguish null from a text
	if json.Unmarshal(body, &sent) != nil || sent.Project == nil || sent.Type == nil || sent.Schema == nil {
		return ask.Invalid("body", "an object with project, type and schema")
	}
	p, err := q.project(*sent.Project)
	if err != nil {
		return err
	}
	var out triedContract
	compiled, wrong := schema.Parse([]byte(*sent.Schema))
	if wrong != nil {
		out.Problem = wrong.Error()
		return q.answer(out)
	}
	r, err := q.Contracts.Try(q.r.Context(), trial.Question{
		Project: p.Number, Contracts: []contract.Contract{{Type: *sent.Type, Schema: compiled.Canonical()}},
		Events: trial.PageEvents, Patience: trial.PagePatience,
	})
	if err != nil {
		return err
	}
	out.Result = &r
	return q.answer(out)
}

// triedContract has either a result or a problem.
type triedContract struct {
	Result  *trial.Result `json:"result"`
	Problem string        `json:"problem"`
}

// suggestContract answers with a proposal for a type.
func (q *request) suggestContract() error {
	values, err := ask.Parse(q.r.URL.RawQuery, "project", "type")
	if err != nil {
		return err
	}
	p, err := q.project(values.Get("project"))
	if err != nil {
		return err
	}
	types, err := ask.Types(values)
	if err != nil {
		return err
	}
	if len(types) != 1 {
		return ask.Invalid("type", "one type of events")
	}
	all, err := q.Contracts.Suggest(q.r.Context(), p, slices.Clone(types), time.Second)
	if err != nil {
		return err
	}
	return q.answer(all[0])
}
