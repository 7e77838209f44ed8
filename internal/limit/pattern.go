package limit

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// anyPart matches any one part of a path.
const anyPart = "*"

// pattern is one of a policy's paths: an optional method, and parts between
// slashes. "/data/v2/projects/*/consent/categories" matches that path of every
// project. "/api/" ends in a slash and matches all paths below it.
type pattern struct {
	method string // "" matches any
	path   string
	exact  bool
	parts  []string // between the slashes; none: "/"
	fixed  string   // the path up to the first "*", or all of it
	any    bool     // it has a "*"
	policy int
}

// projectToken matches a project's token in a path.
var projectToken = regexp.MustCompile(`^/[a-z]+(/v2)?/projects/(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/`)

// parsePattern reads "POST /data/". A path that ends in a slash is a prefix.
// Tokens of projects are in lower case.
func parsePattern(text string) pattern {
	method, path, ok := strings.Cut(text, " ")
	if !ok {
		method, path = "", text
	}
	path = projectToken.ReplaceAllStringFunc(path, strings.ToLower)
	p := pattern{method: method, path: path, exact: !strings.HasSuffix(path, "/")}
	if inner := strings.Trim(path, "/"); inner != "" {
		p.parts = strings.Split(inner, "/")
	}
	p.fixed, _, p.any = strings.Cut(path, anyPart)
	return p
}

// matches treats HEAD as GET, as net/http's patterns do. Otherwise HEAD would
// bypass the limit. matches does not allocate.
func (p *pattern) matches(method, path string) bool {
	switch {
	case p.method != "" && p.method != method && !(p.method == "GET" && method == "HEAD"), !strings.HasPrefix(path, p.fixed):
		return false
	case !p.any:
		return !p.exact || len(path) == len(p.path)
	}
	rest, last := path[1:], len(p.parts)-1 // fixed begins with a slash
	for i, want := range p.parts {
		part, after, more := strings.Cut(rest, "/")
		switch {
		case part != want && (want != anyPart || part == ""):
			return false
		case i == last:
			return more != p.exact
		case !more:
			return false
		}
		rest = after
	}
	return false
}

// comparePatterns orders patterns so that the first match decides. The pattern
// with the most parts comes first. Among equally long ones, the pattern comes
// first that names a part where the other has "*", from the left. Among equal
// paths, the one with a method comes first.
func comparePatterns(a, b pattern) int {
	openness := func(x, y string) int {
		switch {
		case x == anyPart && y != anyPart:
			return 1
		case x != anyPart && y == anyPart:
			return -1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(len(b.parts), len(a.parts)),
		slices.CompareFunc(a.parts, b.parts, openness),
		// A final slash makes a pattern longer. No path matches both.
		cmp.Compare(len(b.path), len(a.path)),
		cmp.Compare(len(b.method), len(a.method)),
	)
}

// covers reports whether p matches all paths of a template, or only some of
// them.
func (p *pattern) covers(method, template string) (all, some bool) {
	if p.method != "" && p.method != method {
		return false, false
	}
	there := strings.Split(template[1:], "/")
	// Something must follow the slash.
	if p.exact && len(there) != len(p.parts) || !p.exact && len(there) <= len(p.parts) {
		return false, false
	}
	all = true
	for i, want := range p.parts {
		switch {
		case want == anyPart, want == there[i]:
		case strings.HasPrefix(there[i], "{"):
			all = false
		default:
			return false, false
		}
	}
	return all, !all
}
