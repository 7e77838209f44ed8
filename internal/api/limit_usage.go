package api

import (
	"slices"
	"strings"
	"time"

	"trackway/internal/ask"
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
	refused, err := c.flag("refused")
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
	var names []string
	for _, p := range c.limits.Set().Policies() {
		names = append(names, p.Name)
	}
	if name := query.Get("policy"); slices.Contains(names, name) {
		return name, nil
	}
	return "", ask.Invalid("policy", "one of "+strings.Join(names, ", "))
}

// flag returns a parameter of the query that is true or false. It is false if
// it is absent.
func (c *limiting) flag(name string) (bool, error) {
	query := c.r.URL.Query()
	switch value := query.Get(name); {
	case value == "true":
		return true, nil
	case value == "false", !query.Has(name):
		return false, nil
	}
	return false, ask.Invalid(name, "true or false")
}
