package history

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"trackway"
)

// Policy is a policy as it is recorded and published.
type Policy struct {
	trackway.Policy

	Window int64 `json:"window"` // seconds, in place of the policy's own
}

// Override is the recorded form of an override, without the caller that it is
// for.
type Override struct {
	Limit     *uint32    `json:"limit,omitempty"` // nil if unlimited
	Unlimited bool       `json:"unlimited,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
}

// PolicyOf returns p as it is recorded and published. It sorts the paths, since
// their order has no meaning.
func PolicyOf(p *trackway.Policy) Policy {
	out := Policy{*p, int64(p.Window / time.Second)}
	out.Paths = slices.Sorted(slices.Values(p.Paths))
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
		value := PolicyOf(&policies[i])
		value.Name = "" // the change has it
		all = append(all, setting{item{OfPolicy, policies[i].Name, ""}, mustEncode(value)})
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
