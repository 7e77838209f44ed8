package limit

import (
	"cmp"
	"hash/fnv"
	"io"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"trackway"
	"trackway/internal/clientip"
	"trackway/internal/limit/table"
)

// Set is the compiled policies of a configuration. It is immutable and safe for
// concurrent use.
type Set struct {
	// policies holds the narrowest count first: the calls of one caller must
	// not affect, even for a moment, a count that many share.
	policies []*policy
	paths    []pattern // of the policies that apply alone, as comparePatterns orders them
	also     []pattern // of those that apply on top
	byKey    bool
}

// policy is one policy with its overrides.
type policy struct {
	trackway.Policy
	own     *quota
	address bart.Table[*quota]
	limited bool // address is not empty
	project map[string]*quota
	key     map[string]*quota
}

// quota is the limit of some callers: a policy's own, or an override's.
type quota struct {
	limit, candidate   rules
	hasCandidate       bool
	blocked, unlimited bool
	until              int64 // Unix seconds; 0: for ever
	// apart separates the count of a wider IPv6 range under this override from
	// that of the other callers in the range. Otherwise these callers would be
	// refused because of calls that the override allows to another. It is the
	// same in all sets, and 0 for the policy's own quota.
	apart              uint64
	fields, wideFields *constants
}

// rules says how to count the calls of one caller and those of a wider IPv6
// range.
type rules struct{ near, far table.Rule }

// Policies returns the policies of the set, with defaults filled in, in the
// order in which they count a call.
func (s *Set) Policies() []trackway.Policy {
	list := make([]trackway.Policy, len(s.policies))
	for i, p := range s.policies {
		list[i] = p.Policy
		list[i].Paths = slices.Clone(p.Paths)
	}
	return list
}

// ByKey reports whether a policy counts by project or key, or has an override
// for one. Only then do calls need Project and Key.
func (s *Set) ByKey() bool { return s.byKey }

// NewSet checks and compiles policies and overrides. Enforced policies must
// keep the floors, unless they say otherwise. The error is a [Problems].
func NewSet(policies []trackway.Policy, overrides []trackway.Override, floors ...Floor) (*Set, error) {
	if problems := check(policies, overrides, floors); len(problems) > 0 {
		return nil, problems
	}
	s := &Set{policies: make([]*policy, len(policies))}
	for i := range policies {
		s.policies[i] = compile(withDefaults(policies[i]))
	}
	slices.SortFunc(s.policies, func(a, b *policy) int {
		return cmp.Or(cmp.Compare(width(a.Per), width(b.Per)), cmp.Compare(a.Name, b.Name))
	})
	for i, p := range s.policies {
		s.byKey = s.byKey || p.Per == trackway.PerKey || p.Per == trackway.PerProj
		s.addPaths(p, i)
	}
	for i := range overrides {
		s.override(&overrides[i])
	}
	slices.SortFunc(s.paths, comparePatterns)
	return s, nil
}

// width orders the things that policies count by, from those that belong to one
// caller to those that many share.
func width(per trackway.Per) int {
	return slices.Index([]trackway.Per{trackway.PerIPPath, trackway.PerIP, trackway.PerKey, trackway.PerProj}, per)
}

func withDefaults(p trackway.Policy) trackway.Policy {
	if p.Per == "" {
		p.Per = trackway.PerIP
	}
	if p.Algorithm == "" {
		p.Algorithm = trackway.Fixed
	}
	if p.Mode == "" {
		p.Mode = trackway.Enforce
	}
	if p.IPv6Prefix == 0 {
		p.IPv6Prefix = 64
	}
	if p.Algorithm == trackway.GCRA && p.Burst == 0 {
		p.Burst = max(1, p.Limit/10)
	}
	return p
}

func compile(p trackway.Policy) *policy {
	c := &policy{Policy: p, project: make(map[string]*quota), key: make(map[string]*quota)}
	c.own = c.newQuota(p.Limit)
	return c
}

// newQuota returns this policy with another limit. A burst keeps its share of
// the limit.
func (p *policy) newQuota(limit uint32) *quota {
	q := &quota{fields: p.newConstants(limit)}
	if limit == 0 {
		q.blocked = true
		return q
	}
	q.limit, q.wideFields = p.rules(limit), p.newConstants(p.ofRange(limit))
	if p.Candidate > 0 {
		q.hasCandidate, q.candidate = true, p.rules(p.Candidate)
	}
	return q
}

func (p *policy) rules(limit uint32) rules { return rules{p.rule(limit), p.rule(p.ofRange(limit))} }

// ofRange returns the limit of a wider IPv6 range in which all callers have
// this limit.
func (p *policy) ofRange(limit uint32) uint32 {
	most := uint64(table.MaxLimit)
	if p.Shared {
		most = table.MaxPortion
	}
	return uint32(min(uint64(limit)*uint64(max(1, p.IPv6Wide.Times)), most))
}

func (p *policy) rule(limit uint32) table.Rule {
	window := p.Window.Milliseconds()
	switch p.Algorithm {
	case trackway.Sliding:
		return table.Sliding(limit, window)
	case trackway.GCRA:
		burst := uint32(uint64(p.Burst) * uint64(limit) / uint64(p.Limit))
		if p.Limit == 1 {
			burst = limit / 10 // a limit of one call has no share to keep
		}
		return table.GCRA(limit, max(1, burst), window)
	default:
		return table.Fixed(limit, window)
	}
}

func (s *Set) addPaths(p *policy, index int) {
	for _, text := range p.Paths {
		pat := parsePattern(text)
		pat.policy = index
		switch {
		case p.Also && p.Mode != trackway.Off:
			s.also = append(s.also, pat)
		case !p.Also:
			s.paths = append(s.paths, pat)
		}
	}
}

// match returns the policies that apply, as bits by index.
func (s *Set) match(method, path string) uint64 {
	var applying uint64
	for i := range s.also {
		if s.also[i].matches(method, path) {
			applying |= 1 << s.also[i].policy
		}
	}
	for i := range s.paths {
		p := &s.paths[i]
		if !p.matches(method, path) {
			continue
		}
		if s.policies[p.policy].Mode != trackway.Off {
			applying |= 1 << p.policy
		}
		break
	}
	return applying
}

// override adds o. It narrows addresses to their range and treats mapped IPv4
// as IPv4.
func (s *Set) override(o *trackway.Override) {
	p := s.policies[slices.IndexFunc(s.policies, func(p *policy) bool { return p.Name == o.Policy })]
	q := p.newQuota(o.Limit)
	address, _ := clientip.Unmapped(o.Address) // check has verified it
	q.apart = apartOf(o, address)
	if q.unlimited = o.Unlimited; !o.Until.IsZero() {
		q.until = o.Until.Unix()
	}
	switch {
	case o.Project != "":
		p.project[o.Project], s.byKey = q, true
	case o.Key != "":
		p.key[o.Key], s.byKey = q, true
	default:
		p.limited = true
		p.address.Insert(address, q)
	}
}

// apartOf returns a number that identifies the callers that o is for.
func apartOf(o *trackway.Override, address netip.Prefix) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, o.Project+"\n"+o.Key+"\n"+address.String()) // never fails
	return h.Sum64()
}

// quota returns the limit that applies to c. It comes from the longest address
// range that has an override, then the key, then the project, then the policy
// itself. The address comes first, so that no key lifts a block.
func (p *policy) quota(c *Call, now int64) *quota {
	if p.limited {
		if q := p.byAddress(c.Addr, now); q != nil {
			return q
		}
	}
	if c.Key != "" {
		if q := p.key[c.Key]; q.holds(now) {
			return q
		}
	}
	if c.Project != "" {
		if q := p.project[c.Project]; q.holds(now) {
			return q
		}
	}
	return p.own
}

func (p *policy) byAddress(a netip.Addr, now int64) *quota {
	a = a.Unmap().WithZone("")
	q, ok := p.address.Lookup(a)
	if !ok || q.holds(now) {
		return q
	}
	// Supernets yields the longest first.
	for _, wider := range p.address.Supernets(netip.PrefixFrom(a, a.BitLen())) {
		if wider.holds(now) {
			return wider
		}
	}
	return nil
}

// holds reports whether there is a quota and it has not ended.
func (q *quota) holds(now int64) bool {
	return q != nil && (q.until == 0 || now < q.until)
}
