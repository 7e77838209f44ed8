package column

import (
	"fmt"
	"slices"
	"strings"

	"trackway/internal/canonjson"
	"trackway/internal/config"
)

// Own lists the names of the columns of events that each destination has. No
// declared column may have such a name, whatever its letter case.
var Own = []string{"seq", "project", "customer", "type", "at", "received_at", "properties"}

// Column is a column of the table events.
type Column struct {
	Name string
	Type Type
}

// Set is the declared columns of a destination. Apart from Holds, it is
// immutable after its creation, and safe for concurrent use.
type Set struct {
	Columns []Column // in the order of their declaration

	// Holds reports whether the destination can hold a value of a column. Set
	// it before the first use. Nil means that it holds every value.
	Holds func(c Column, v Value) bool

	types   []string            // of events that have columns of their own, sorted
	byType  map[string][]source // for these types: their own columns and those for all types
	general []source            // of all other types
}

// source says which property fills a column. The column is an index in Columns.
type source struct {
	property string
	column   int
}

// NewSet creates a set of the columns that a destination declares. Several
// declarations with the same name are one column, which events of different
// types fill. A declaration for a type takes precedence over one for all types.
// NewSet returns an error for the operator if types or names contradict each
// other. It also refuses names that differ only in letter case, because some
// readers cannot distinguish them.
func NewSet(declared []config.Column) (*Set, error) {
	s := &Set{byType: map[string][]source{}}
	for i := range declared {
		d := &declared[i]
		column, err := s.add(d)
		if err != nil {
			return nil, err
		}
		if d.Type == "" {
			s.general = append(s.general, source{d.Property, column})
		} else {
			s.byType[d.Type] = append(s.byType[d.Type], source{d.Property, column})
		}
	}
	if c := doubled(s.general); c >= 0 {
		return nil, fmt.Errorf("column %q gets two properties of all events: give one of them another name", s.Columns[c].Name)
	}
	for t, own := range s.byType {
		if c := doubled(own); c >= 0 {
			return nil, fmt.Errorf("column %q gets two properties of events %q: give one of them another name", s.Columns[c].Name, t)
		}
		s.types = append(s.types, t)
		for _, g := range s.general {
			if !slices.ContainsFunc(own, func(o source) bool { return o.column == g.column }) {
				s.byType[t] = append(s.byType[t], g)
			}
		}
	}
	slices.Sort(s.types)
	return s, nil
}

// add returns the index of a declared column, and adds the column if it is new.
func (s *Set) add(d *config.Column) (int, error) {
	name := d.Name
	if name == "" {
		name = d.Property
	}
	t, err := ParseType(d.As)
	switch {
	case err != nil:
		return 0, fmt.Errorf("column %q: %w, not %q", name, err, d.As)
	case d.Property == "":
		return 0, fmt.Errorf("column %q: a property is missing", name)
	case slices.ContainsFunc(Own, func(own string) bool { return strings.EqualFold(own, name) }):
		return 0, fmt.Errorf("column %q has the name of one of Trackway's own columns: give it another name", name)
	}
	i := slices.IndexFunc(s.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
	switch {
	case i < 0:
		s.Columns = append(s.Columns, Column{Name: name, Type: t})
		return len(s.Columns) - 1, nil
	case s.Columns[i].Name != name:
		return 0, fmt.Errorf("columns %q and %q differ in case only: give one of them another name", s.Columns[i].Name, name)
	case s.Columns[i].Type != t:
		return 0, fmt.Errorf("column %q is declared as %s and as %s: give one of them another name", name, s.Columns[i].Type, t)
	}
	return i, nil
}

// doubled returns a column that occurs more than once, or -1.
func doubled(sources []source) int {
	for i, a := range sources {
		if slices.ContainsFunc(sources[:i], func(b source) bool { return a.column == b.column }) {
			return a.column
		}
	}
	return -1
}

// Types returns the types of events that have columns of their own, sorted.
// There is a view for each of them.
func (s *Set) Types() []string { return slices.Clone(s.types) }

// Of returns the columns that events of a type can fill, in the order of
// Columns.
func (s *Set) Of(eventType string) []Column {
	var own []Column
	for i, c := range s.Columns {
		if slices.ContainsFunc(s.sources(eventType), func(o source) bool { return o.column == i }) {
			own = append(own, c)
		}
	}
	return own
}

// sources returns what fills the columns for events of a type.
func (s *Set) sources(eventType string) []source {
	if own, ok := s.byType[eventType]; ok {
		return own
	}
	return s.general
}

// Values returns the values of all columns for an event, in the order of
// Columns. It appends them to dst[:0]. properties is an object in canonical
// JSON, and texts of the values may be parts of it. A value that does not fit
// is NULL, and misfits counts it. The cost is one pass over the properties, and
// nothing for events that have no columns.
func (s *Set) Values(dst []Value, eventType string, properties []byte, misfits *Misfits) []Value {
	dst = dst[:0]
	for range s.Columns {
		dst = append(dst, Value{})
	}
	sources := s.sources(eventType)
	if len(sources) == 0 {
		return dst
	}
	scan := canonjson.Scan(properties)
	for name := range scan.Members {
		raw := scan.Value().Raw
		for _, o := range sources {
			if o.property != name {
				continue
			}
			c := s.Columns[o.column]
			v, fits := c.Type.Convert(raw)
			if fits && v.Kind != Null && s.Holds != nil {
				fits = s.Holds(c, v)
			}
			if !fits {
				misfits.Count(eventType, name)
				continue
			}
			dst[o.column] = v
		}
	}
	return dst
}
