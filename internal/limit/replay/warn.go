package replay

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/limit/traffic"
)

// warnings lists what a record does not tell.
func (r *Record) warnings() []string {
	warnings := []string{}
	add := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	if r.Unrecorded > 0 {
		add("%d more calls are missing from the record, because too many callers came at once", r.Unrecorded)
	}
	if n := len(r.Gaps); n > 0 {
		longest := slices.MaxFunc(r.Gaps, func(a, b traffic.Gap) int { return cmp.Compare(a.To.Sub(a.From), b.To.Sub(b.From)) })
		which := ""
		if n > 1 {
			which = fmt.Sprintf("%v in %d gaps, the longest of them ", r.Missing(), n)
		}
		add("nothing was recorded for %s%v from %s; this time counts as time without calls",
			which, longest.To.Sub(longest.From), longest.From.Local().Format(time.DateTime))
	}
	if r.Damaged > 0 {
		add("%s could not be read to the end, which happens if a server was killed", several(r.Damaged, "file"))
	}
	if n := len(r.Changes); n > 0 {
		add("the limits in force changed %s during this time, the last time at %s, so different limits have refused calls",
			several(n, "time"), r.Changes[n-1].Local().Format(time.DateTime))
	}
	return warnings
}

func several(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// warnings lists the reasons why a record is not enough for these limits.
func (r *run) warnings(record *Record) []string {
	warnings := record.lacks(r.set.Policies())
	for _, o := range r.limits.Overrides {
		if o.Address.IsValid() && o.Address.Addr().Is6() && o.Address.Bits() > traffic.AddrBits {
			warnings = append(warnings, fmt.Sprintf("the override for %s is narrower than the part of IPv6 addresses that the record keeps, the first %d bits",
				o.Address, traffic.AddrBits))
		}
	}
	return append(warnings, r.variable()...)
}

// lacks lists the reasons why a record is not enough for policies.
func (r *Record) lacks(policies []trackway.Policy) (warnings []string) {
	covered := r.To.Sub(r.From) - r.Missing()
	var long []string
	for _, p := range policies {
		if p.Shared && p.Mode != trackway.Off {
			warnings = append(warnings, p.Name+" is shared by the servers of a cluster, but the record has only the calls of one of them: callers that also use the others have called more often")
		}
		switch {
		case p.Mode == trackway.Off:
			warnings = append(warnings, p.Name+" is off and counts nothing")
		case p.Window > covered:
			long = append(long, p.Name)
		}
		if p.IPv6Prefix > traffic.AddrBits {
			warnings = append(warnings, fmt.Sprintf("%s distinguishes IPv6 callers by %d bits, but the record keeps only the first %d", p.Name, p.IPv6Prefix, traffic.AddrBits))
		}
	}
	if len(long) > 0 {
		warnings = append(warnings, fmt.Sprintf("the record tells of %v, which is less than the window of %s", covered, strings.Join(long, ", ")))
	}
	return warnings
}

// variable returns the policies that count only some calls of a route,
// depending on the path. A record has only the pattern.
func (r *run) variable() (warnings []string) {
	found := make(map[string]bool)
	for _, k := range r.kinds {
		if _, sometimes := r.set.Governing(k.call.Method, k.call.Path); strings.Contains(k.call.Path, "{") {
			for _, p := range sometimes {
				found[fmt.Sprintf("%s counts only some calls of %s, and the record does not show which ones: none of them is counted", p.Name, k.call.Route)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
