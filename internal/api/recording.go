package api

import "trackway/internal/limit/traffic"

// record has the call recorded, if the operator wants calls recorded. A call that no policy counts is, too: one that is tried on
// the record may.
func (c *call) record() {
	if !c.Traffic.On() {
		return
	}
	c.recorded = traffic.Call{At: c.received, Addr: c.ask.Addr, Kind: traffic.Kind{Method: c.r.Method, Route: c.ask.Route, Path: c.ask.Path}}
	if c.grant.Key != nil {
		c.recorded.Project, c.recorded.Key = c.grant.Project.Name, c.grant.Key.Name
	}
	if !c.decision.Allowed {
		c.recorded.Refused = c.decision.Policy
	}
	c.Traffic.Note(&c.recorded)
}

// recordGivenBack has it recorded that the call costs nothing.
func (c *call) recordGivenBack() {
	if c.recorded.Route != "" {
		c.Traffic.GiveBack(&c.recorded)
	}
}
