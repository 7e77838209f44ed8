package dashboard

import (
	"errors"
	"io"
	"strconv"
	"time"

	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/limit"
	"trackway/internal/limit/replay"
	"trackway/internal/limit/table"
	"trackway/internal/limit/trial"
)

// record answers with what the record of calls holds and costs.
func (q *request) record() error { return q.recorded(nil, false) }

// setRecord starts or stops recording.
func (q *request) setRecord() error {
	body, err := io.ReadAll(q.r.Body) // it is small: see the table of routes
	if err != nil {
		return err
	}
	return q.recorded(body, true)
}

func (q *request) recorded(body []byte, change bool) error {
	var e *audit.Entry // nil: nothing is changed
	if change {
		e = q.entry(audit.RecordSwitch, "")
	}
	answer, err := trial.Record(q.Traffic, q.Audit, e, body)
	if err != nil {
		return err
	}
	return q.send(answer)
}

const (
	maxWindow  = 24 * 60 * 60 // seconds
	usualShare = 99.9
)

// simulate answers with what a limit would have done to the recorded calls.
func (q *request) simulate() error {
	values, err := ask.Parse(q.r.URL.RawQuery, "policy", "limit", "window")
	if err != nil {
		return err
	}
	p, err := trial.Policy(q.Limits.Set(), values.Get("policy"))
	if err != nil {
		return err
	}
	n, err := ask.Number(values, "limit", int(p.Limit), table.MaxLimit)
	if err != nil {
		return err
	}
	window, err := ask.Number(values, "window", int(p.Window/time.Second), maxWindow)
	if err != nil {
		return err
	}
	tried, err := q.bench.Try(q.r.Context(), p.Name, uint32(n), time.Duration(window)*time.Second)
	if wrong, ok := errors.AsType[limit.Problems](err); ok {
		return ask.Invalid("limit", "a limit that can exist: "+wrong[0].Msg)
	}
	if err != nil {
		return err
	}
	return q.answer(tried)
}

// suggest answers with the smallest limit that would not have touched a share
// of the callers.
func (q *request) suggest() error {
	values, err := ask.Parse(q.r.URL.RawQuery, "policy", "window", "share")
	if err != nil {
		return err
	}
	p, err := trial.Policy(q.Limits.Set(), values.Get("policy"))
	if err != nil {
		return err
	}
	window, err := ask.Number(values, "window", int(p.Window/time.Second), maxWindow)
	if err != nil {
		return err
	}
	share := usualShare
	if values.Has("share") {
		if share, err = strconv.ParseFloat(values.Get("share"), 64); err != nil || !(share > 0 && share <= 100) {
			return ask.Invalid("share", "a percentage of callers, more than 0 and at most 100")
		}
	}
	wish := replay.Wish{Policy: p.Name, Share: share}
	if w := time.Duration(window) * time.Second; w != p.Window {
		wish.Window = w
	}
	advice, err := q.bench.Suggest(q.r.Context(), wish)
	if err != nil {
		return err
	}
	return q.answer(advice)
}

// tried returns the limits in force, to be tried with changes.
func (s *Server) tried() replay.Limits {
	f := s.facts.Load()
	l := replay.Limits{Policies: s.Limits.Set().Policies(), Overrides: f.Overrides, Floors: s.Floors, Tokens: make(map[string]string)}
	for i := range f.Projects {
		l.Tokens[f.Projects[i].Name] = f.Projects[i].Token
	}
	return l
}
