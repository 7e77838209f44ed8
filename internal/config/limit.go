package config

import (
	"slices"

	"trackway"
)

// trackingPath begins the paths of the tracking API.
const trackingPath = "/track/"

// dialectPaths are the paths on which other products' clients send commands. A
// limit on trackingPath holds for them too, unless another limit lists them.
// Otherwise nothing would limit them under a configuration that is older than
// they are.
var dialectPaths = []string{
	"/v1/", "/api/s/", "/projects/", // Segment's, and OpenTelemetry's
	"/batch", "/batch/", "/capture", "/capture/", "/e", "/e/", "/i/", // PostHog's
	"/flags", "/flags/", "/decide", "/decide/", "/array/", // PostHog's
	"/bulk", "/bulk/", "/crm/", "/webxp/", "/wxstatic/", "/campaigns/", "/data/v2/streams/*/consent/", // the original's
}

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
	limitDialects(policies)
	return policies
}

// limitDialects adds the paths of dialects to the limits of the tracking API.
func limitDialects(policies []trackway.Policy) {
	var listed []string // by the limits that apply alone
	for i := range policies {
		if !policies[i].Also {
			listed = append(listed, policies[i].Paths...)
		}
	}
	for i := range policies {
		p := &policies[i]
		if !slices.Contains(p.Paths, trackingPath) {
			continue
		}
		others := listed
		if p.Also {
			others = p.Paths
		}
		p.Paths = slices.Clone(p.Paths)
		for _, path := range dialectPaths {
			if !slices.Contains(others, path) {
				p.Paths = append(p.Paths, path)
			}
		}
	}
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
