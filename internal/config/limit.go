package config

import "trackway"

// policies translates the limits. Here is only seen to it that they are complete; what they may be is internal/limit's to
// say, by a [Check].
func (d *doc) policies() []trackway.Policy {
	var policies []trackway.Policy
	for i := range d.file.Limits {
		p := &d.file.Limits[i]
		if d.given(p) {
			d.requireAll(p)
		}
		policies = append(policies, trackway.Policy{
			Name: p.Name, Paths: p.Paths, Limit: p.Limit, Window: p.Window, Per: p.Per, Algorithm: p.Algorithm,
			Burst: p.Burst, Mode: p.Mode, Also: p.Also, Candidate: p.Candidate, AllowBelowFloor: p.AllowBelowFloor,
			IPv6Prefix: p.IPv6Prefix, IPv6Wide: trackway.IPv6Wide(p.IPv6Wide),
		})
	}
	return policies
}

func (d *doc) requireAll(p *policy) {
	for _, need := range []struct {
		at   any
		what string
	}{
		{&p.Name, "a name"}, {&p.Paths, "paths"}, {&p.Limit, "a limit: calls in a window"}, {&p.Window, "a window, such as 60s"},
	} {
		if !d.given(need.at) {
			d.missing(p, "needs %s", need.what)
		}
	}
}
