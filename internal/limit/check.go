package limit

import (
	"fmt"
	"math"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/clientip"
	"trackway/internal/limit/table"
)

// The limits of a configuration.
const (
	maxPolicies = 64 // so that the policies of a call fit into a word
	maxName     = 32 // bytes
	maxWindow   = table.MaxWindowMillis * time.Millisecond
)

// Floor is a published promise: a caller may always make this many calls below
// a path, both at once and in each window.
type Floor struct {
	Path   string // with one part, such as "/track/"
	Calls  uint32
	Window time.Duration
}

// Problem is one mistake in policies or overrides.
type Problem struct {
	Field string // its place: "limits[1].window", "overrides[0].policy"
	Name  string // of the policy
	Msg   string // what was expected
}

func (p Problem) Error() string { return fmt.Sprintf("%s (policy %q): %s", p.Field, p.Name, p.Msg) }

// Problems lists all mistakes, in the order of the configuration.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// checker collects problems. at and name are the place and the policy that it
// is checking.
type checker struct {
	problems Problems
	at, name string
	byName   map[string]*trackway.Policy
	floors   []Floor
	// own holds the paths of floors that a policy names. A floor for all paths
	// does not apply there.
	own map[string]bool
}

func (c *checker) wrong(field, format string, args ...any) {
	c.problems = append(c.problems, Problem{Field: c.at + "." + field, Name: c.name, Msg: fmt.Sprintf(format, args...)})
}

func check(policies []trackway.Policy, overrides []trackway.Override, floors []Floor) Problems {
	c := checker{byName: make(map[string]*trackway.Policy, len(policies)), floors: floors, own: make(map[string]bool)}
	all, seen := make([]trackway.Policy, len(policies)), make(map[string]string)
	for i := range policies {
		all[i] = withDefaults(policies[i])
		for _, path := range all[i].Paths {
			c.own[path] = c.own[path] || !all[i].Also
		}
	}
	for i := range all {
		p := &all[i]
		c.at, c.name = fmt.Sprintf("limits[%d]", i), p.Name
		if c.byName[p.Name] != nil {
			c.wrong("name", "two policies have this name")
		}
		c.byName[p.Name] = p
		c.policy(p)
		c.paths(p, seen)
	}
	if len(policies) > maxPolicies {
		c.wrong("name", "there are %d policies, at most %d can be", len(policies), maxPolicies)
	}
	for i := range all {
		c.at, c.name = fmt.Sprintf("limits[%d]", i), all[i].Name
		c.order(&all[i])
	}
	whose := make(map[trackway.Override]bool, len(overrides))
	for i := range overrides {
		o := &overrides[i]
		c.at, c.name = fmt.Sprintf("overrides[%d]", i), o.Policy
		c.override(o)
		address, _ := clientip.Unmapped(o.Address) // a bad address has already been reported
		same := trackway.Override{Policy: o.Policy, Address: address, Project: o.Project, Key: o.Key}
		if whose[same] {
			c.wrong("policy", "there is another override of it for the same callers")
		}
		whose[same] = true
	}
	return c.problems
}

func (c *checker) policy(p *trackway.Policy) {
	if !isName(p.Name) {
		c.wrong("name", "must be 1 to %d of a-z, 0-9, '-' and '_'", maxName)
	}
	if p.Limit == 0 || p.Limit > table.MaxLimit {
		c.wrong("limit", "must lie between 1 and %d (to block somebody, write an override)", table.MaxLimit)
	}
	if p.Candidate > table.MaxLimit {
		c.wrong("candidate", "must be at most %d", table.MaxLimit)
	}
	if p.Window < time.Second || p.Window > maxWindow || p.Window%time.Second != 0 {
		c.wrong("window", "must be whole seconds, from 1s to 24h")
	}
	if width(p.Per) < 0 {
		c.wrong("per", "must be ip, ip+path, key or project, not %q", p.Per)
	}
	if p.Mode != trackway.Enforce && p.Mode != trackway.Report && p.Mode != trackway.Off {
		c.wrong("mode", "must be enforce, report or off, not %q", p.Mode)
	}
	c.algorithm(p)
	c.ipv6(p)
	c.shared(p)
}

func (c *checker) shared(p *trackway.Policy) {
	switch {
	case !p.Shared:
	case p.Algorithm == trackway.Sliding, p.Algorithm == trackway.GCRA:
		c.wrong("shared", "only a limit with the algorithm fixed can be shared, not %s", p.Algorithm)
	case p.Candidate > 0:
		c.wrong("shared", "a limit with a candidate cannot be shared: try it out before you share it")
	case p.Limit > table.MaxPortion:
		c.wrong("limit", "must be at most %d if it is shared", table.MaxPortion)
	}
}

func (c *checker) algorithm(p *trackway.Policy) {
	switch p.Algorithm {
	case trackway.GCRA:
		const day = int64(maxWindow / time.Second)
		switch even := int64(p.Limit) - int64(p.Burst); {
		case p.Limit > 1 && even <= 0:
			c.wrong("burst", "must be less than the limit of %d: a bucket that holds all of it admits nearly twice that in its first window", p.Limit)
		case p.Limit > 0 && int64(p.Burst)*int64(p.Window/time.Second) > max(even, 1)*day:
			c.wrong("burst", "leaves so little for the rest of the window that a spent burst takes more than 24h to come back")
		}
	case trackway.Fixed, trackway.Sliding:
		if p.Burst != 0 {
			c.wrong("burst", "only gcra has one, not %s", p.Algorithm)
		}
	default:
		c.wrong("algorithm", "must be fixed, sliding or gcra, not %q", p.Algorithm)
	}
}

func (c *checker) ipv6(p *trackway.Policy) {
	if p.IPv6Prefix < 16 || p.IPv6Prefix > 128 {
		c.wrong("ipv6_prefix", "must lie between 16 and 128")
	}
	if w := p.IPv6Wide; w.Times > 0 && (w.Prefix < 16 || w.Prefix >= p.IPv6Prefix) {
		c.wrong("ipv6_wide.prefix", "must lie between 16 and %d, one less than ipv6_prefix", p.IPv6Prefix-1)
	}
}

// paths checks the patterns. seen maps each pattern of the policies that apply
// alone to its policy.
func (c *checker) paths(p *trackway.Policy, seen map[string]string) {
	if len(p.Paths) == 0 {
		c.wrong("paths", "must hold at least one")
	}
	for i, text := range p.Paths {
		field := fmt.Sprintf("paths[%d]", i)
		pat := parsePattern(text)
		if !strings.HasPrefix(pat.path, "/") || strings.ContainsAny(pat.path, " ?#{}") || pat.blurred() {
			c.wrong(field, `%q is no path: write "/api/" for all below it, "/api/status" for one, "/data/v2/projects/*/consent/" for any project, or "POST /data/"`, text)
		}
		if !isRouted(pat.path) {
			c.wrong(field, "%q is met by no call: write it as it is routed, without %%, // and dots", text)
		}
		if strings.Trim(pat.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || (pat.method == "" && strings.HasPrefix(text, " ")) {
			c.wrong(field, "%q has no method in capital letters in front", text)
		}
		if other, ok := seen[pat.method+" "+pat.path]; ok && !p.Also {
			c.wrong(field, "%q is a path of policy %q too: mark one of them with also", text, other)
		}
		if !p.Also {
			seen[pat.method+" "+pat.path] = p.Name
		}
		for _, f := range c.floors {
			c.floor(p, &pat, f, field)
		}
	}
}

// blurred reports whether a "*" is only a part of a path part, or stands at the
// end, where people expect it to match everything that follows.
func (p *pattern) blurred() bool {
	half := func(part string) bool { return strings.Contains(part, anyPart) && part != anyPart }
	return slices.ContainsFunc(p.parts, half) || p.exact && strings.HasSuffix(p.path, "/"+anyPart)
}

// isRouted reports whether the path of a call can begin like this. Unclean
// paths are refused earlier, and escapes are decoded.
func isRouted(p string) bool {
	clean := path.Clean(p)
	if clean != "/" && strings.HasSuffix(p, "/") {
		clean += "/"
	}
	return p == clean && !strings.Contains(p, "%")
}

// floor refuses a policy that can refuse a caller who keeps to the published
// rate. A caller keeps to it if they make all calls at once and no more until
// the window ends.
func (c *checker) floor(p *trackway.Policy, pat *pattern, f Floor, field string) {
	around := !pat.exact && (len(pat.parts) == 0 || len(pat.parts) == 1 && pat.parts[0] == anyPart)
	applies := around && (p.Also || !c.own[f.Path]) || !around && pat.below(f.Path)
	if !applies || p.AllowBelowFloor || p.Mode != trackway.Enforce {
		return
	}
	perSecond := float64(p.Limit) / math.Max(p.Window.Seconds(), 1)
	if atOnce := atOnce(p); atOnce < f.Calls || perSecond < float64(f.Calls)/f.Window.Seconds() {
		c.wrong("limit", "%d per %s (%d at once) on %s is below the published %d per %s: raise it, or write allow_below_floor: true beside it",
			p.Limit, p.Window, atOnce, field, f.Calls, f.Window)
	}
}

// below reports whether a pattern can match paths that begin with one part,
// such as "/track/".
func (p *pattern) below(first string) bool {
	if len(p.parts) == 0 || p.exact && len(p.parts) == 1 {
		return false
	}
	return p.parts[0] == anyPart || "/"+p.parts[0]+"/" == first
}

// atOnce returns how many simultaneous calls p always admits from a caller who
// keeps to the rate. Sliding may also count as many calls of the previous
// window.
func atOnce(p *trackway.Policy) uint32 {
	switch p.Algorithm {
	case trackway.GCRA:
		return p.Burst
	case trackway.Sliding:
		return p.Limit / 2
	}
	return p.Limit
}

// order refuses a policy that is looser than the policy that it names. The
// named policy names no other, so chains and cycles cannot occur.
func (c *checker) order(p *trackway.Policy) {
	if p.NoLooserThan == "" {
		return
	}
	switch other := c.byName[p.NoLooserThan]; {
	case other == nil || other.NoLooserThan != "":
		c.wrong("no_looser_than", "must be the name of another policy, one without no_looser_than")
	case p.Mode == trackway.Off && other.Mode == trackway.Enforce:
		c.wrong("mode", "off is looser than %s, which is in force: no_looser_than forbids that", other.Name)
	case float64(p.Limit)*other.Window.Seconds() > float64(other.Limit)*p.Window.Seconds():
		c.wrong("limit", "%d per %s is looser than %d per %s of %s: no_looser_than forbids that", p.Limit, p.Window, other.Limit, other.Window, other.Name)
	}
}

func (c *checker) override(o *trackway.Override) {
	if c.byName[o.Policy] == nil {
		c.wrong("policy", "there is no policy of this name")
	}
	given := 0
	for _, is := range []bool{o.Address != netip.Prefix{}, o.Project != "", o.Key != ""} {
		if is {
			given++
		}
	}
	if given != 1 {
		c.wrong("address", "exactly one of address, project and key must be given, not %d", given)
	}
	if _, err := clientip.Unmapped(o.Address); err != nil && o.Address != (netip.Prefix{}) {
		c.wrong("address", "%s is no range of IPv4 or of IPv6 addresses", o.Address)
	}
	if p := c.byName[o.Policy]; p != nil && p.Shared && o.Limit > table.MaxPortion {
		c.wrong("limit", "must be at most %d, because the limit of the policy is shared", table.MaxPortion)
	}
	if o.Limit > table.MaxLimit {
		c.wrong("limit", "must be at most %d; write unlimited: true for none", table.MaxLimit)
	}
}

func isName(s string) bool {
	return s != "" && len(s) <= maxName && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}
