package api

import (
	"time"

	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/limit/trial"
	"trackway/internal/limit/watch"
)

// limitUsage answers with what each policy has done, and how close its callers
// come to the limit.
func (c *limiting) limitUsage() error {
	r := c.limits.Usage(c.received)
	r.At = r.At.UTC().Truncate(time.Second)
	return c.encoded(r)
}

const usualCallers = 20

// limitCallers answers with the callers that call most, or are refused most.
func (c *limiting) limitCallers() error {
	rows, err := ask.Number(c.r.URL.Query(), "rows", usualCallers, ask.MaxRows)
	if err != nil {
		return err
	}
	policy, err := c.policy()
	if err != nil {
		return err
	}
	refused, err := ask.Flag(c.r.URL.Query(), "refused")
	if err != nil {
		return err
	}
	since, callers := c.watch.Top(c.received, policy, refused, rows)
	return c.encoded(struct {
		Since time.Time      `json:"since"`
		Rows  []watch.Caller `json:"rows"`
	}{since.UTC().Truncate(time.Second), callers})
}

// policy returns the parameter of the query that names a policy in force, or an
// empty text if it is absent.
func (c *limiting) policy() (string, error) {
	query := c.r.URL.Query()
	if !query.Has("policy") {
		return "", nil
	}
	p, err := trial.Policy(c.limits.Set(), query.Get("policy"))
	return p.Name, err
}

// record answers with what the record of calls holds. If the call has a body,
// that switches it on or off before.
func (c *limiting) record() error {
	var e *audit.Entry // nil: nothing is changed
	if c.route.maxBody > 0 {
		e = c.entry(audit.RecordSwitch)
	}
	body, err := trial.Record(c.traffic, c.audit, e, c.body)
	if err != nil {
		return err
	}
	return c.answerTagged("", nil, body)
}
