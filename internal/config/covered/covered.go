// Package covered adds to limits the paths that they cover without listing
// them: those on which other products' clients send commands.
package covered

import (
	"slices"
	"strings"

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

// Dialects adds the paths of dialects to the limits of the tracking API.
// It also adds their other spelling to limits that list a path with or without
// a slash at its end, because the server takes both.
func Dialects(policies []trackway.Policy) {
	t := taken(policies)
	for i := range policies {
		for _, path := range policies[i].Paths {
			if other := otherSpelling(path); isDialect(path) && isDialect(other) {
				t.add(&policies[i], other)
			}
		}
	}
	for i := range policies {
		if !slices.Contains(policies[i].Paths, trackingPath) {
			continue
		}
		for _, path := range dialectPaths {
			t.add(&policies[i], path)
		}
	}
}

// takenPaths are the paths of the limits that apply alone. No two of them may
// list the same path.
type takenPaths struct{ paths []string }

func taken(policies []trackway.Policy) *takenPaths {
	t := new(takenPaths)
	for i := range policies {
		if !policies[i].Also {
			t.paths = append(t.paths, policies[i].Paths...)
		}
	}
	return t
}

// add adds a path to a limit, unless another limit has taken it. A limit that
// applies on top of others takes nothing.
func (t *takenPaths) add(p *trackway.Policy, path string) {
	switch {
	case p.Also && slices.Contains(p.Paths, path), !p.Also && slices.Contains(t.paths, path):
		return
	case !p.Also:
		t.paths = append(t.paths, path)
	}
	p.Paths = append(slices.Clip(p.Paths), path)
}

func otherSpelling(path string) string {
	if other, hadSlash := strings.CutSuffix(path, "/"); hadSlash {
		return other
	}
	return path + "/"
}

// isDialect reports whether a path of a limit, which may have a method, is one
// of a dialect, or lies below one.
func isDialect(path string) bool {
	if _, after, ok := strings.Cut(path, " "); ok {
		path = after
	}
	return slices.ContainsFunc(dialectPaths, func(d string) bool { return path == d || strings.HasSuffix(d, "/") && strings.HasPrefix(path, d) })
}
