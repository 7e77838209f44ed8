package limit

import (
	"slices"

	"trackway"
)

// Governing returns the policies that count the calls of a route, for use in
// descriptions of the route. always holds those that count all calls. sometimes
// holds those that count only the calls of some paths, because their own path
// fixes the value of a route parameter. A template is a path with its
// parameters in braces, such as "/api/projects/{token}/stats". Policies that
// are off count nothing.
func (s *Set) Governing(method, template string) (always, sometimes []trackway.Policy) {
	add := func(list []trackway.Policy, p *pattern) []trackway.Policy {
		policy := s.policies[p.policy].Policy
		known := func(q trackway.Policy) bool { return q.Name == policy.Name }
		if policy.Mode == trackway.Off || slices.ContainsFunc(list, known) {
			return list
		}
		return append(list, policy)
	}
	for i := range s.paths { // the longest first
		p := &s.paths[i]
		all, some := p.covers(method, template)
		if some {
			sometimes = add(sometimes, p)
		}
		if all {
			always = add(always, p)
			break
		}
	}
	for i := range s.also {
		switch all, some := s.also[i].covers(method, template); {
		case all:
			always = add(always, &s.also[i])
		case some:
			sometimes = add(sometimes, &s.also[i])
		}
	}
	return always, sometimes
}

// Refunded returns the decision that holds once [Limiter.Refund] has refunded
// the call. If the policy that d describes had counted the call, the result has
// one more call left.
func (d *Decision) Refunded() Decision {
	after := *d
	after.taken = receipt{}
	if d.taken.force == nil || d.Remaining >= d.Limit {
		return after
	}
	for i, p := range d.taken.force.policies {
		if p.Name == d.Policy && d.taken.calls>>i&1 != 0 {
			after.Remaining++
		}
	}
	return after
}
