package catalogue

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"trackway"
	"trackway/internal/ask"
)

// View is what readers get of a project.
type View struct {
	Project    string `json:"project"`
	Since      *int64 `json:"since"` // Unix seconds; when the first event was received, or null
	Until      *int64 `json:"until"` // the same for the last one
	Events     uint64 `json:"events"`
	LookedAt   uint64 `json:"looked_at"`
	Exact      bool   `json:"exact"`       // every event was looked at; otherwise the numbers of events are estimates
	OtherTypes uint64 `json:"other_types"` // events of types that have no place here
	Types      []Type `json:"types"`       // the most frequent first
}

// Type is what is known of a type of events.
type Type struct {
	Type            string     `json:"type"`
	Events          uint64     `json:"events"`
	Share           float64    `json:"share"` // of the project's events, up to 1
	Events24h       uint64     `json:"events_24h"`
	FirstSeen       int64      `json:"first_seen"` // Unix seconds
	LastSeen        int64      `json:"last_seen"`
	New             bool       `json:"new"`              // first seen in the last 7 days, in a project that is older
	OtherProperties uint64     `json:"other_properties"` // events with properties that have no place here
	Properties      []Property `json:"properties"`       // the most frequent first
}

// Property is what is known of a property.
type Property struct {
	Name      string            `json:"name"`
	Events    uint64            `json:"events"`
	Share     float64           `json:"share"` // of the type's events since the property was first seen
	FirstSeen int64             `json:"first_seen"`
	LastSeen  int64             `json:"last_seen"`
	New       bool              `json:"new"`
	Mixed     bool              `json:"mixed"`    // values have several types, apart from null
	Values    []Values          `json:"values"`   // by JSON type, the most frequent first
	Examples  []json.RawMessage `json:"examples"` // values that many customers have
}

// Values are the values of a property that have one JSON type.
type Values struct {
	Type  string  `json:"type"`
	Share float64 `json:"share"` // of the values
	Shape string  `json:"shape"` // in words
}

// A type is new if it was first seen in the last newFor, and the project had
// its first event at least settled earlier.
const (
	newFor  = 7 * day
	settled = day
)

// View returns what is known of a project. If may is not nil, the view has only
// the types for which it returns true, as if there were no others.
func (c *Catalogue) View(number uint32, name string, now time.Time, may func(typ string) bool) *View {
	at := trackway.MicrosOf(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	v := &View{Project: name, Types: []Type{}, Exact: true}
	p := c.projects[number]
	if p == nil {
		return v
	}
	v.Exact = c.skipped == p.SkippedBefore
	all := p.span
	if may != nil {
		all = span{}
	}
	for _, name := range p.types.names() {
		t := p.types.known[name]
		if may != nil {
			if !may(name) {
				continue
			}
			all.join(&t.span)
		}
		v.Types = append(v.Types, t.view(name, p.First, at))
	}
	if all.Seen == 0 {
		return v
	}
	first, last := seconds(all.First), seconds(all.Last)
	v.Since, v.Until, v.Events, v.LookedAt = &first, &last, whole(all.Events), all.Seen
	if may == nil {
		v.OtherTypes = whole(p.OtherTypes)
	}
	for i := range v.Types {
		v.Types[i].Share = portion(p.types.known[v.Types[i].Type].Events, all.Events)
	}
	slices.SortStableFunc(v.Types, func(a, b Type) int { return cmp.Compare(b.Events, a.Events) })
	return v
}

// join adds what another span saw.
func (s *span) join(other *span) {
	if s.Seen == 0 || other.First < s.First {
		s.First = other.First
	}
	s.Last, s.Seen, s.Events = max(s.Last, other.Last), s.Seen+other.Seen, s.Events+other.Events
}

// isNew reports whether something is new in what began at a time.
func (s *span) isNew(began, now trackway.Micros) bool {
	return now-s.First < newFor && s.First-began >= settled
}

// Beginning is when a type of events came for the first time.
type Beginning struct {
	Type  string
	First time.Time
}

// Beginnings returns the types that came for the first time at least a day
// after the project's first event.
func (c *Catalogue) Beginnings(number uint32) (all []Beginning) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.projects[number]
	if p == nil {
		return nil
	}
	for _, name := range p.types.names() {
		if t := p.types.known[name]; t.First-p.First >= settled {
			all = append(all, Beginning{name, t.First.Time()})
		}
	}
	return all
}

// Changed is a JSON type that values of a property did not have at first.
type Changed struct {
	Type, Property string
	Before, Now    string // JSON types: the usual one until then, and the new one
	First          time.Time
	Values         uint64 // of the new type that were looked at
}

// ChangedTypes returns the JSON types whose first value came at least a day
// after the property's first value of another one. Null is not counted, as for
// [Property.Mixed].
func (c *Catalogue) ChangedTypes(number uint32) (all []Changed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.projects[number]
	if p == nil {
		return nil
	}
	for _, typ := range p.types.names() {
		of := &p.types.known[typ].properties
		for _, name := range of.names() {
			for _, one := range of.known[name].changed() {
				one.Type, one.Property = typ, name
				all = append(all, one)
			}
		}
	}
	return all
}

// changed returns the JSON types that came late.
func (p *property) changed() (all []Changed) {
	for now := range kinds {
		before, has := null, p.Kinds[now] > 0 && now != null
		for k := range kinds {
			if has && k != null && p.Kinds[k] > 0 && p.began(now)-p.began(k) >= settled && (before == null || p.Kinds[k] > p.Kinds[before]) {
				before = k
			}
		}
		if before != null {
			all = append(all, Changed{Before: kindNames[before], Now: kindNames[now], First: p.began(now).Time(), Values: p.Kinds[now]})
		}
	}
	return all
}

// began returns when the first value of a type came. A file of an earlier
// version does not say it.
func (p *property) began(k kind) trackway.Micros { return max(p.Began[k], p.First) }

func (t *eventType) view(name string, began, now trackway.Micros) Type {
	v := Type{
		Type: name, Events: whole(t.Events), Events24h: whole(t.Hours.sum(now)), FirstSeen: seconds(t.First), LastSeen: seconds(t.Last),
		New: t.isNew(began, now), OtherProperties: whole(t.OtherProperties), Properties: []Property{},
	}
	for _, name := range t.properties.names() {
		p := t.properties.known[name]
		v.Properties = append(v.Properties, p.view(name, t, now))
	}
	slices.SortStableFunc(v.Properties, func(a, b Property) int { return cmp.Compare(b.Events, a.Events) })
	return v
}

func (p *property) view(name string, t *eventType, now trackway.Micros) Property {
	v := Property{
		Name: name, Events: whole(p.Events), Share: portion(float64(p.Seen), float64(t.Seen-min(p.Base, t.Seen))),
		FirstSeen: seconds(p.First), LastSeen: seconds(p.Last), New: p.isNew(t.First, now), Values: []Values{}, Examples: []json.RawMessage{},
	}
	sum, several := uint64(0), 0
	for k, n := range p.Kinds {
		sum += n
		if n > 0 && kind(k) != null {
			several++
		}
	}
	v.Mixed = several > 1
	for k, n := range p.Kinds {
		if n > 0 {
			v.Values = append(v.Values, Values{kindNames[k], portion(float64(n), float64(sum)), p.shape(kind(k))})
		}
	}
	slices.SortStableFunc(v.Values, func(a, b Values) int { return cmp.Compare(b.Share, a.Share) })
	for _, e := range p.values.examples() {
		v.Examples = append(v.Examples, json.RawMessage(e.shown))
	}
	return v
}

// shape describes the values of a type without showing one.
func (p *property) shape(k kind) string {
	switch k {
	case text:
		return p.formName() + " of " + p.Text.words("character")
	case number:
		if p.Part.Most == 0 {
			return "whole number of " + p.Whole.words("digit")
		}
		return fmt.Sprintf("number with up to %s after the point", lengths{p.Part.Most, p.Part.Most}.words("digit"))
	default:
		return kindNames[k]
	}
}

// formName returns the form of nearly all strings.
func (p *property) formName() string {
	const nearlyAll = 0.99
	for f, n := range p.Forms {
		if float64(n) >= nearlyAll*float64(p.Kinds[text]) {
			return formNames[f]
		}
	}
	return formNames[plain]
}

// words says the lengths, such as "2–40 characters".
func (l lengths) words(unit string) string {
	if l.Most != 1 {
		unit += "s"
	}
	if l.Least == l.Most {
		return fmt.Sprintf("%d %s", l.Most, unit)
	}
	return fmt.Sprintf("%d–%d %s", l.Least, l.Most, unit)
}

func seconds(at trackway.Micros) int64 { return at.Time().Unix() }

func whole(n float64) uint64 { return uint64(math.Round(n)) }

// portion returns a share with four digits that are not zero, so that a rare
// exception does not look like none.
func portion(part, all float64) float64 {
	if part <= 0 || all <= 0 {
		return 0
	}
	const kept = 4
	scale := math.Pow(10, kept-1-math.Floor(math.Log10(part/all)))
	return min(math.Round(part/all*scale)/scale, 1)
}

// errNoType says that a project has no events of a type, or none that the key
// may read.
var errNoType = &trackway.Error{Code: trackway.NotFound, Field: "type", Msg: "The catalogue has no such type of events."}

// Answer answers a question about a project: about some types, or all that the
// key may read.
func (c *Catalogue) Answer(p *trackway.Project, key *trackway.Key, query string, now time.Time) ([]byte, error) {
	types, may, err := ask.TypesFor(key, query)
	if err != nil {
		return nil, err
	}
	v, err := c.View(p.Number, p.Name, now, may).only(types)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// Types returns what is known now of some types of a project, or of all if the
// list is empty. It is for readers who may see everything.
func (c *Catalogue) Types(p *trackway.Project, types []string) (*View, error) {
	return c.View(p.Number, p.Name, time.Now(), nil).only(types)
}

// only leaves the types of a list, unless it is empty. It refuses unknown ones.
func (v *View) only(types []string) (*View, error) {
	if len(types) == 0 {
		return v, nil
	}
	v.Types = slices.DeleteFunc(v.Types, func(t Type) bool { return !slices.Contains(types, t.Type) })
	for _, name := range types {
		if !slices.ContainsFunc(v.Types, func(t Type) bool { return t.Type == name }) {
			return nil, errNoType
		}
	}
	return v, nil
}
