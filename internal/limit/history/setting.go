package history

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"trackway"
)

// Policy is a policy as it is kept and published, all but its name.
type Policy struct {
	Paths      []string           `json:"paths"` // sorted: their order means nothing
	Limit      uint32             `json:"limit"`
	Window     int64              `json:"window"` // seconds
	Per        trackway.Per       `json:"per"`
	Algorithm  trackway.Algorithm `json:"algorithm"`
	Burst      uint32             `json:"burst,omitempty"`
	Mode       trackway.Mode      `json:"mode"`
	Also       bool               `json:"also"`
	Candidate  uint32             `json:"candidate,omitempty"`
	IPv6Prefix uint32             `json:"ipv6_prefix"`
	IPv6Wide   *Wide              `json:"ipv6_wide,omitempty"`
}

// Wide is how IPv6 callers of a wider prefix are counted together.
type Wide struct {
	Prefix uint32 `json:"prefix"`
	Times  uint32 `json:"times"`
}

// Override is an override as it is kept, all but whom it is for.
type Override struct {
	Limit     *uint32    `json:"limit,omitempty"` // nil where unlimited
	Unlimited bool       `json:"unlimited,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
}

// PolicyOf returns p as it is kept and published.
func PolicyOf(p *trackway.Policy) Policy {
	out := Policy{
		Paths: slices.Sorted(slices.Values(p.Paths)), Limit: p.Limit, Window: int64(p.Window / time.Second), Per: p.Per,
		Algorithm: p.Algorithm, Mode: p.Mode, Also: p.Also, Candidate: p.Candidate, IPv6Prefix: p.IPv6Prefix,
	}
	if p.Algorithm == trackway.GCRA {
		out.Burst = p.Burst
	}
	if p.IPv6Wide.Times > 0 {
		out.IPv6Wide = &Wide{p.IPv6Wide.Prefix, p.IPv6Wide.Times}
	}
	return out
}

// setting is the value of an item.
type setting struct {
	item

	value json.RawMessage
}

func settings(policies []trackway.Policy, overrides []trackway.Override) []setting {
	all := make([]setting, 0, len(policies)+len(overrides))
	for i := range policies {
		all = append(all, setting{item{OfPolicy, policies[i].Name, ""}, mustEncode(PolicyOf(&policies[i]))})
	}
	for i := range overrides {
		o := &overrides[i]
		value := Override{Unlimited: o.Unlimited}
		if !o.Unlimited {
			value.Limit = &o.Limit
		}
		if until := o.Until.UTC(); !o.Until.IsZero() {
			value.Until = &until
		}
		all = append(all, setting{item{OfOverride, o.Policy, who(o)}, mustEncode(value)})
	}
	return all
}

func who(o *trackway.Override) string {
	switch {
	case o.Project != "":
		return "project " + o.Project
	case o.Key != "":
		return "key " + o.Key
	}
	return "address " + o.Address.Masked().String()
}

func mustEncode(v any) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic("bug: a setting that JSON does not know: " + err.Error())
	}
	return text
}

func byItem(a, b Change) int {
	return cmp.Or(cmp.Compare(b.What, a.What), cmp.Compare(a.Policy, b.Policy), cmp.Compare(a.For, b.For))
}
