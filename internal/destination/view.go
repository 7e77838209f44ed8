package destination

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/change"
	"trackway/internal/config"
	"trackway/internal/query"
)

// View is the part of a store that a destination gets, in the form that it
// gets: the selected projects and types, without dropped properties, and with
// renamed ones. It is immutable, and so safe for concurrent use.
type View struct {
	projects map[uint32]string // names by number
	types    map[string]bool   // nil: all types, if there are no prefixes either
	prefixes []string
	drop     map[string]bool
	rename   map[string]string
}

// NewView returns the view of a destination. The projects must have their
// numbers. Configured projects that are not in the list are left out.
func NewView(d *config.Destination, projects []trackway.Project) *View {
	v := &View{projects: make(map[uint32]string), drop: make(map[string]bool), rename: d.Rename}
	for i := range projects {
		if p := &projects[i]; len(d.Projects) == 0 || slices.Contains(d.Projects, p.Name) {
			v.projects[p.Number] = p.Name
		}
	}
	for _, name := range d.Drop {
		v.drop[name] = true
	}
	for _, typ := range d.Events {
		if prefix, ok := strings.CutSuffix(typ, "*"); ok {
			v.prefixes = append(v.prefixes, prefix)
			continue
		}
		if v.types == nil {
			v.types = make(map[string]bool)
		}
		v.types[typ] = true
	}
	return v
}

// same reports whether both views select the same projects.
func (v *View) same(other *View) bool { return maps.Equal(v.projects, other.projects) }

// Has reports whether the view has a project.
func (v *View) Has(project uint32) bool {
	_, ok := v.projects[project]
	return ok
}

// Wants reports whether the view has a project's events of a type.
func (v *View) Wants(project uint32, typ string) bool { return v.Has(project) && v.admits(typ) }

// Event returns the row of an event, and whether the view has it. The row
// shares memory with the event. Cost: one or two look-ups; if properties are
// dropped or renamed, also a copy of them.
func (v *View) Event(e *trackway.Event) (row Event, ok bool) {
	project, ok := v.projects[e.Project]
	if !ok || !v.admits(e.Type) {
		return Event{}, false
	}
	return Event{
		Seq: e.Seq, Project: project, Customer: e.Customer, Type: e.Type, At: e.Time, Received: e.Received,
		Properties: v.properties(e.Properties),
	}, true
}

// Customer returns the row for the customer of a change, as a snapshot shows
// the customer, and whether the view has it. Cost: two look-ups, and a scan of
// the properties.
func (v *View) Customer(s query.CustomerReader, c *change.Change) (row Customer, ok bool, err error) {
	row = Customer{
		Customer: c.Customer, Project: v.projects[c.Project], Properties: empty, Changed: c.Number, Erased: c.Kind == change.Erased,
	}
	if row.Project == "" || c.Kind != change.Changed && c.Kind != change.Rewritten && c.Kind != change.Erased {
		return row, false, nil
	}
	now, err := s.Survivor(c.Project, c.Customer)
	if err != nil {
		return row, true, err
	}
	p, err := s.Profile(c.Project, c.Customer)
	if err != nil {
		return row, true, err
	}
	row.Created = p.Created
	if now != c.Customer {
		row.Survivor = now
	} else {
		row.IDs, row.Properties = p.IDs, v.profile(p.Properties)
	}
	return row, true, nil
}

func (v *View) erasure(project uint32, e *query.Erasure) Erasure {
	return Erasure{ID: e.ID, Project: v.projects[project], Customer: e.Customer, Asked: e.Asked, Done: e.Done}
}

func (v *View) admits(typ string) bool {
	if v.types == nil && v.prefixes == nil || v.types[typ] {
		return true
	}
	return slices.ContainsFunc(v.prefixes, func(prefix string) bool { return strings.HasPrefix(typ, prefix) })
}

var empty = []byte("{}")

// properties returns an object in the form that the destination gets, in
// canonical JSON.
func (v *View) properties(object []byte) []byte {
	if len(object) == 0 {
		return empty
	}
	if len(v.drop)+len(v.rename) == 0 {
		return object
	}
	changed, changes := v.changed(canonjson.SplitObject(object))
	if !changes {
		return object
	}
	return canonjson.AppendObject(make([]byte, 0, len(object)), changed)
}

// changed drops and renames properties, which are sorted by name. If the object
// already has a property with the new name, the property keeps its old name:
// otherwise one of the two would vanish.
func (v *View) changed(properties []trackway.Property) (_ []trackway.Property, changes bool) {
	var given map[string]bool
	n := len(properties)
	properties = slices.DeleteFunc(properties, func(p trackway.Property) bool { return v.drop[p.Name] })
	changes = len(properties) < n
	for i := range properties {
		to, ok := v.rename[properties[i].Name]
		if !ok {
			continue
		}
		if given == nil {
			given = make(map[string]bool, len(properties))
			for _, p := range properties {
				given[p.Name] = true
			}
		}
		if !given[to] {
			given[to], properties[i].Name, changes = true, to, true
		}
	}
	if given != nil {
		slices.SortFunc(properties, func(a, b trackway.Property) int { return strings.Compare(a.Name, b.Name) })
	}
	return properties, changes
}

// profile returns a customer's properties in the form that the destination
// gets.
func (v *View) profile(dated []trackway.DatedProperty) []byte {
	if len(dated) == 0 {
		return empty
	}
	properties := make([]trackway.Property, len(dated))
	for i := range dated {
		properties[i] = dated[i].Property
	}
	properties, _ = v.changed(properties)
	return canonjson.AppendObject(nil, properties)
}

// own returns a row that shares no memory with the log.
func own(row Event) Event {
	row.Properties = bytes.Clone(row.Properties)
	return row
}
