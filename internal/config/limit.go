package config

import (
	"trackway"
	"trackway/internal/config/covered"
)

// policies returns the limits. It only checks that they are complete.
// internal/limit checks their values with a [Check].
func (d *doc) policies() []trackway.Policy {
	var policies []trackway.Policy
	for i := range d.file.Limits {
		p := &d.file.Limits[i]
		if d.given(p) {
			d.requireAll(p)
		}
		policies = append(policies, p.Policy)
	}
	covered.Dialects(policies)
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
