// Package suggest proposes contracts for the types of events that the catalogue
// knows. A proposal says what nearly all events have in common, no more: good
// events must not break it. It is tried on the stored events, and demands that
// these break are left out.
package suggest

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/catalogue"
	"trackway/internal/contract"
	"trackway/internal/contract/schema"
	"trackway/internal/contract/trial"
	"trackway/internal/query"
)

// The rules for a proposal.
const (
	enough    = 100   // events of a type; fewer say too little
	always    = 0.995 // share of the events that have a required property, and of the values that have one of the types
	mostEnum  = 7     // values: a property with more has no enum. The catalogue knows up to 8
	mostName  = 64    // bytes of a property that is proposed
	rounds    = 3     // in which what breaks is left out
	tolerated = 0.005 // share of the events that may break a type or a required property
)

// Proposal is a contract that is proposed for a type.
type Proposal struct {
	Type    string          `json:"type"`
	Events  uint64          `json:"events"` // that the catalogue knows
	Checked uint64          `json:"checked"`
	Broken  uint64          `json:"broken"` // of the checked ones
	Why     string          `json:"why"`    // why there is no schema; else empty
	Schema  json.RawMessage `json:"schema"` // null: nothing is proposed
}

// draft is a proposal while it is made.
type draft struct {
	Draft      string                 `json:"$schema"`
	Type       string                 `json:"type"`
	Required   []string               `json:"required,omitempty"`
	Properties map[string]*properties `json:"properties"`
}

type properties struct {
	Type any   `json:"type,omitempty"` // a text or a list
	Enum []any `json:"enum,omitempty"`
}

// Make proposes contracts for types of a project. It looks at up to events
// events.
func Make(ctx context.Context, store query.Store, project uint32, types []catalogue.Type, q trial.Question) ([]Proposal, error) {
	out, drafts := make([]Proposal, len(types)), make([]*draft, len(types))
	for i := range types {
		out[i] = Proposal{Type: types[i].Type, Events: types[i].Events, Why: reason(&types[i])}
		if out[i].Why == "" {
			drafts[i] = of(&types[i])
		}
	}
	q.Project = project
	for range rounds {
		q.Contracts = put(drafts, out)
		if len(q.Contracts) == 0 {
			return out, nil
		}
		r, err := trial.Run(ctx, store, q)
		if err != nil {
			return nil, err
		}
		relaxed := false
		for _, t := range r.Types {
			i := slices.IndexFunc(out, func(p Proposal) bool { return p.Type == t.Type })
			out[i].Checked, out[i].Broken = t.Checked, t.Broken
			relaxed = drafts[i].relax(&t) || relaxed
		}
		if !relaxed {
			break
		}
	}
	put(drafts, out)
	return out, nil
}

// reason says why nothing is proposed for a type, or nothing.
func reason(t *catalogue.Type) string {
	switch {
	case t.Type == trackway.MergeType:
		return "the server writes these events"
	case t.Events < enough:
		return "there are too few events: at least 100 are needed"
	case len(t.Properties) == 0:
		return "the events have no properties"
	}
	return ""
}

// put puts the drafts into the proposals, and returns them as contracts.
func put(drafts []*draft, into []Proposal) (all []contract.Contract) {
	for i, d := range drafts {
		if d != nil {
			into[i].Schema = d.json()
			all = append(all, contract.Contract{Type: into[i].Type, Schema: into[i].Schema})
		}
	}
	return all
}

// of returns a first draft.
func of(t *catalogue.Type) *draft {
	d := &draft{Draft: schema.Draft, Type: "object", Properties: make(map[string]*properties)}
	for i := range t.Properties {
		p := &t.Properties[i]
		if p.Name == trackway.Quarantined || len(p.Name) > mostName {
			continue
		}
		one := &properties{Type: kinds(p.Values), Enum: enum(p)}
		if one.Type == nil {
			continue
		}
		if p.Share >= always && float64(p.Events) >= always*float64(t.Events) {
			d.Required = append(d.Required, p.Name)
		}
		if one.Enum != nil {
			one.Type = nil
		}
		d.Properties[p.Name] = one
	}
	slices.Sort(d.Required)
	return d
}

// kinds returns the types that nearly all values have. A number that was whole
// until now may have a fraction tomorrow, so it is a number.
func kinds(values []catalogue.Values) any {
	var names []string
	for _, v := range values {
		if v.Share > 1-always {
			names = append(names, v.Type)
		}
	}
	switch len(names) {
	case 0:
		return nil
	case 1:
		return names[0]
	}
	return names
}

// enum returns the values of a property that has only a few texts, or nil. The
// catalogue shows values that many customers sent, and none of a property whose
// name says that it is personal.
func enum(p *catalogue.Property) []any {
	if len(p.Examples) < 2 || len(p.Examples) > mostEnum || len(p.Values) != 1 || p.Values[0].Type != "string" {
		return nil
	}
	var values []any
	for _, e := range p.Examples {
		var text string
		if json.Unmarshal(e, &text) != nil {
			return nil
		}
		values = append(values, text)
	}
	slices.SortFunc(values, func(a, b any) int { return strings.Compare(a.(string), b.(string)) }) // they are texts
	return values
}

// relax leaves out what events broke too often: an enum at once, because the
// catalogue may not know all values; other demands above a small share. It
// reports whether it left out anything.
func (d *draft) relax(t *trial.Type) (relaxed bool) {
	for _, r := range t.Reasons {
		p := d.Properties[r.Property]
		switch few := float64(r.Events) <= tolerated*float64(t.Checked); {
		case r.Keyword == "enum" && p != nil:
			p.Enum, p.Type = nil, "string"
			relaxed = true
		case few:
		case r.Keyword == "required":
			d.Required = slices.DeleteFunc(d.Required, func(name string) bool { return name == r.Property })
			relaxed = true
		case r.Keyword == "type" && p != nil:
			delete(d.Properties, r.Property)
			relaxed = true
		}
	}
	return relaxed
}

// json returns the draft in canonical form.
func (d *draft) json() []byte {
	b, err := json.Marshal(d)
	if err != nil {
		panic("bug: a draft is not JSON: " + err.Error())
	}
	return canonjson.AppendCanonical(nil, b)
}
