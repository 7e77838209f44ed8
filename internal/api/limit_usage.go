package api

import (
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/limit"
	"trackway/internal/limit/watch"
)

// policyUsage is how one policy is used.
type policyUsage struct {
	Name      string        `json:"name"`
	Limit     uint32        `json:"limit"`
	Window    int64         `json:"window"` // seconds
	Mode      trackway.Mode `json:"mode"`
	Calls     uint64        `json:"calls"`
	Refused   uint64        `json:"refused"`
	Would     uint64        `json:"would_refuse"`
	Candidate uint64        `json:"candidate_refused"`
	Callers   int           `json:"callers"`
	P50       uint32        `json:"p50"`
	P95       uint32        `json:"p95"`
	P99       uint32        `json:"p99"`
	Max       uint32        `json:"max"`
	Tenths    [10]int       `json:"tenths"`
	Over      int           `json:"over"`
}

func usageOf(u *limit.Usage) policyUsage {
	return policyUsage{
		Name: u.Policy, Limit: u.Limit, Window: int64(u.Window / time.Second), Mode: u.Mode,
		Calls: u.Calls, Refused: u.Refused, Would: u.WouldRefuse, Candidate: u.CandidateNot,
		Callers: u.Live, P50: u.P50, P95: u.P95, P99: u.P99, Max: u.Max, Tenths: u.Tenths, Over: u.Over,
	}
}

// tableUsage is how full the table of counters is.
type tableUsage struct {
	Bytes     int    `json:"bytes"`
	Slots     int    `json:"slots"`
	Used      int    `json:"used"`
	Untracked uint64 `json:"untracked"`
}

// limitUsage answers what each policy has done, and how near its callers come to the limit.
func (c *limiting) limitUsage() error {
	r := c.limits.Usage(c.received)
	policies := make([]policyUsage, len(r.Policies))
	for i := range r.Policies {
		policies[i] = usageOf(&r.Policies[i])
	}
	return c.encoded(struct {
		At       time.Time     `json:"at"`
		Table    tableUsage    `json:"table"`
		Policies []policyUsage `json:"policies"`
	}{r.At.UTC().Truncate(time.Second), tableUsage{r.Table.Bytes, r.Table.Slots, r.Used, r.Table.Untracked}, policies})
}

const usualCallers = 20

// limitCallers answers who calls most, or is refused most.
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

// policy returns the parameter of the query that names a policy in force; empty if it is not there.
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

// flag returns a parameter of the query that is true or false; false if it is not there.
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
