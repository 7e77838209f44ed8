package replay

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"trackway"
)

// line returns a policy as a configuration states it, without defaults.
func line(p *trackway.Policy) string {
	paths := make([]string, len(p.Paths))
	for i, path := range p.Paths {
		paths[i] = word(path)
	}
	parts := []string{
		"name: " + word(p.Name), "paths: [" + strings.Join(paths, ", ") + "]",
		fmt.Sprintf("limit: %d, window: %s, per: %s", p.Limit, span(p.Window), p.Per),
	}
	add := func(is bool, format string, args ...any) {
		if is {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(p.Algorithm != trackway.Fixed, "algorithm: %s", p.Algorithm)
	add(p.Burst > 0, "burst: %d", p.Burst)
	add(p.Mode != trackway.Enforce, "mode: %s", p.Mode)
	add(p.Also, "also: true")
	add(p.Shared, "shared: true")
	add(p.Candidate > 0, "candidate: %d", p.Candidate)
	add(p.NoLooserThan != "", "no_looser_than: %s", p.NoLooserThan)
	add(p.AllowBelowFloor, "allow_below_floor: true")
	add(p.IPv6Prefix != 64, "ipv6_prefix: %d", p.IPv6Prefix)
	usual := trackway.IPv6Wide{Prefix: 48, Times: 16}
	add(p.IPv6Wide != usual, "ipv6_wide: {prefix: %d, times: %d}", p.IPv6Wide.Prefix, p.IPv6Wide.Times)
	return "- {" + strings.Join(parts, ", ") + "}"
}

// plain matches text that YAML needs no quotes for.
var plain = regexp.MustCompile(`^([A-Z]+ )?/[A-Za-z0-9._/-]*$|^[a-z_][a-z0-9_-]*$`)

// word returns a text as YAML. It quotes names that YAML would read as
// something else.
func word(s string) string {
	switch s {
	case "true", "false", "null", "yes", "no", "on", "off":
		return strconv.Quote(s)
	}
	if plain.MatchString(s) {
		return s
	}
	return strconv.Quote(s)
}

// span returns a window as a person would write it.
func span(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0 && d > 5*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
