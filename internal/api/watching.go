package api

import (
	"trackway/internal/format/tracking"
	"trackway/internal/limit/watch"
)

// watchCall has a sample of the calls that a limit decided about remembered: who calls, and how.
func (c *call) watchCall() {
	d := &c.decision
	if !d.Limited {
		return
	}
	weight := c.Watch.Sample(c.received, d.Policy, !d.Allowed)
	if weight == 0 {
		return
	}
	policies := []string{d.Policy}
	if d.Allowed {
		policies = c.Limits.Set().Counting(c.ask.Method, c.ask.Path)
	}
	method := c.route.method
	if method == "" { // no row of the table
		method = c.r.Method
	}
	c.watched = &watch.Call{
		At: c.received, Weight: weight, Addr: c.ask.Addr, Policies: policies, Refused: !d.Allowed,
		Source:  c.access.Clients.Explain(c.r.RemoteAddr, c.r.Header).Source(),
		Project: c.access.Keys.ProjectName(c.r.PathValue("token")), Route: method + " " + c.route.path, Agent: c.r.UserAgent(),
	}
	c.Watch.Note(c.watched)
}

// watchSent has the body of a call remembered, if the call was, and the types of its accepted events.
func (c *call) watchSent(types ...string) {
	if c.watched != nil {
		c.Watch.Sent(c.watched, c.body, types)
	}
}

// typesOf returns the types of the events that were accepted.
func typesOf(items []tracking.Item) []string {
	var types []string
	for i := range items {
		if items[i].Err == nil && items[i].Command.Type != "" {
			types = append(types, items[i].Command.Type)
		}
	}
	return types
}
