package config

import (
	"regexp"
	"strings"
	"time"

	"trackway"
)

const (
	maxWindow = 31 * 24 * time.Hour

	// The published promise: what every address may send to the tracking API, at least.
	trackPath   = "/track/"
	floorCalls  = 6000
	floorWindow = time.Minute
)

// policies checks and translates the limits.
func (d *doc) policies() []trackway.Policy {
	f := &d.file
	names, paths := make(map[string]any), make(map[string]any)
	var policies []trackway.Policy
	for i := range f.Limits {
		p := &f.Limits[i]
		d.checkPolicy(p)
		unique(d, names, &p.Name)
		for j := range p.Paths {
			d.checkPath(&p.Paths[j])
			if !p.Also { // of two policies with the same path, none has the longer one
				unique(d, paths, &p.Paths[j])
			}
		}
		policies = append(policies, p.domain())
	}
	d.checkGrid()
	return policies
}

func (p *policy) domain() trackway.Policy {
	return trackway.Policy{
		Name: p.Name, Paths: p.Paths, Limit: p.Limit, Window: p.Window, Per: p.Per, Algorithm: p.Algorithm,
		Burst: p.Burst, Mode: p.Mode, Also: p.Also, Candidate: p.Candidate, AllowBelowFloor: p.AllowBelowFloor,
		IPv6Prefix: p.IPv6Prefix, IPv6Wide: trackway.IPv6Wide(p.IPv6Wide),
	}
}

func (d *doc) checkPolicy(p *policy) {
	d.checkName(&p.Name, p, "policy")
	if len(p.Paths) == 0 && d.good(&p.Paths) {
		d.missing(p, "needs paths")
	}
	d.checkRate(p)
	oneOf(d, &p.Per, trackway.PerIP, trackway.PerIPPath, trackway.PerKey, trackway.PerProj)
	oneOf(d, &p.Algorithm, trackway.Fixed, trackway.Sliding, trackway.GCRA)
	oneOf(d, &p.Mode, trackway.Enforce, trackway.Report, trackway.Off)
	if d.given(&p.Burst) {
		switch {
		case p.Algorithm != trackway.GCRA && d.good(&p.Algorithm):
			d.report(&p.Burst, "belongs to the algorithm gcra")
		case p.Burst == 0 || p.Burst > p.Limit && d.good(&p.Limit):
			d.report(&p.Burst, "must be from 1 to the limit")
		}
	}
	if d.given(&p.Candidate) && p.Candidate == 0 {
		d.report(&p.Candidate, "must be at least 1")
	}
	d.checkIPv6(p)
	d.checkFloor(p)
}

func (d *doc) checkRate(p *policy) {
	switch {
	case !d.given(&p.Limit) && d.given(p):
		d.missing(p, "needs a limit: calls in a window")
	case p.Limit == 0:
		d.report(&p.Limit, "must be at least 1; an override can block")
	}
	switch {
	case !d.given(&p.Window) && d.given(p):
		d.missing(p, "needs a window, such as 60s")
	case p.Window < time.Second || p.Window > maxWindow || p.Window%time.Second != 0: // w= in RateLimit-Policy is in seconds
		d.report(&p.Window, "must be whole seconds, from 1s to %dh", int(maxWindow.Hours()))
	}
}

func (d *doc) checkIPv6(p *policy) {
	const addrBits = 128
	if p.IPv6Prefix == 0 || p.IPv6Prefix > addrBits {
		d.report(&p.IPv6Prefix, "must be from 1 to %d bits", addrBits)
	}
	w := &p.IPv6Wide
	switch {
	case w.Times == 0: // no wide count
	case w.Prefix == 0:
		d.report(&w.Prefix, "must be at least 1 bit")
	case w.Prefix >= p.IPv6Prefix && d.given(&w.Prefix):
		d.report(&w.Prefix, "must be shorter than ipv6_prefix (%d)", p.IPv6Prefix)
	case w.Prefix >= p.IPv6Prefix:
		d.report(&p.IPv6Prefix, "must be longer than ipv6_wide.prefix (%d)", w.Prefix)
	}
}

// checkFloor holds what is enforced on the tracking API to the published promise of "always at least", unless the operator
// says beside the limit that it is broken.
func (d *doc) checkFloor(p *policy) {
	if p.AllowBelowFloor || p.Mode != trackway.Enforce || !d.good(&p.Limit, &p.Window, &p.Mode, &p.AllowBelowFloor) {
		return
	}
	if !touchesTracking(p.Paths) || !slower(p.Limit, p.Window, floorCalls, floorWindow) {
		return
	}
	if !d.given(&p.Limit) {
		return // a default, or missing
	}
	d.report(&p.Limit, "is below the promised %d calls a minute for tracking: raise it, or write allow_below_floor: true beside it", floorCalls)
}

// slower says whether the first rate is below the second. The products fit: a limit has 32 bits, a window in seconds 22.
func slower(limit uint32, window time.Duration, thanLimit uint32, thanWindow time.Duration) bool {
	return int64(limit)*int64(thanWindow/time.Second) < int64(thanLimit)*int64(window/time.Second)
}

func touchesTracking(paths []string) bool {
	for _, p := range paths {
		_, path, ok := strings.Cut(p, " ") // POST /track/
		if !ok {
			path = p
		}
		if strings.HasPrefix(path, trackPath) || strings.HasSuffix(path, "/") && strings.HasPrefix(trackPath, path) {
			return true
		}
	}
	return false
}

// checkGrid refuses what the dashboard's pages read a faster rate than the API has.
func (d *doc) checkGrid() {
	grid, api := d.policyNamed("grid"), d.policyNamed("api")
	if grid == nil || api == nil || api.Mode != trackway.Enforce || !d.good(&grid.Limit, &grid.Window, &grid.Mode, &api.Limit, &api.Window) {
		return
	}
	if grid.Mode != trackway.Enforce {
		d.report(&grid.Mode, "must be enforce while api is enforced: grid is never looser than api")
	} else if slower(api.Limit, api.Window, grid.Limit, grid.Window) {
		d.report(&grid.Limit, "is looser than api (%d in %v): grid is never looser than api", api.Limit, api.Window)
	}
}

func (d *doc) policyNamed(name string) *policy {
	for i := range d.file.Limits {
		if d.file.Limits[i].Name == name {
			return &d.file.Limits[i]
		}
	}
	return nil
}

// pathPattern: a path, with a method in front of it or not. Queries are no part of it, and neither are repeated slashes,
// which are collapsed before a path is looked up.
var pathPattern = regexp.MustCompile(`^([A-Z]+ )?(/[^/\s?#]+)*/?$`)

func (d *doc) checkPath(path *string) {
	if !strings.Contains(*path, "/") || !pathPattern.MatchString(*path) {
		d.report(path, "must be a path, with a method in front or not, such as /api/ or POST /data/")
	}
}
