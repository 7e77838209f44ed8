// Package mapping reads the settings whose keys may be any text: names of
// properties, and types of events.
package mapping

import (
	"github.com/goccy/go-yaml/ast"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
	"trackway/internal/config/setting"
)

// ByAge maps event types to how long they are kept. Its keys may be any text,
// unlike those of settings.
type ByAge []TypeAge

// TypeAge is how long a type of events is kept.
type TypeAge struct {
	Type string
	Age  scalar.Age
}

// DecodeYAML implements [document.Decoder].
func (at *ByAge) DecodeYAML(d *document.Doc, n ast.Node, field string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.Report(at, "must hold types of events and times, such as {page_visit: 30d}")
		return
	}
	*at = make(ByAge, len(m.Values)) // never grows, because places are addresses
	lines := make(map[string]int)
	for i, pair := range m.Values {
		a, key := &(*at)[i], pair.Key.GetToken()
		a.Type = key.Value
		p := document.Place{File: d.Name, Line: key.Position.Line, Column: key.Position.Column, Field: setting.Join(field, scalar.Quoted(a.Type))}
		d.Places[&a.Type] = p
		if first, again := lines[a.Type]; again {
			d.Report(&a.Type, "is given twice, first in line %d", first)
			continue
		}
		lines[a.Type] = p.Line
		if len(a.Type) == 0 || len(a.Type) > trackway.MaxTypeBytes {
			d.Report(&a.Type, "must be a type of events, in 1 to %d bytes", trackway.MaxTypeBytes)
		}
		d.Places[&a.Age] = d.PlaceOf(pair.Value, p.Field)
		if want := scalar.Set(&a.Age, pair.Value); want != "" {
			d.Report(&a.Age, "%s", want)
		}
	}
}

// Renames maps names of properties to others. Its keys may be any text, unlike
// those of settings.
type Renames []Renamed

// Renamed is a property with its new name.
type Renamed struct{ From, To string }

// DecodeYAML implements [document.Decoder].
func (at *Renames) DecodeYAML(d *document.Doc, n ast.Node, field string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.Report(at, "must hold names of properties, such as {old: new}")
		return
	}
	*at = make(Renames, len(m.Values)) // never grows, because places are addresses
	from, to := make(map[string]any), make(map[string]any)
	for i, pair := range m.Values {
		r, key := &(*at)[i], pair.Key.GetToken()
		r.From = key.Value
		p := document.Place{File: d.Name, Line: key.Position.Line, Column: key.Position.Column, Field: setting.Join(field, scalar.Quoted(r.From))}
		d.Places[&r.From] = p
		d.Places[&r.To] = d.PlaceOf(pair.Value, p.Field)
		var isText bool
		if r.To, isText = scalar.Text(pair.Value); !isText {
			d.Report(&r.To, "must be text")
			continue
		}
		CheckProperty(d, &r.From)
		CheckProperty(d, &r.To)
		document.Unique(d, from, &r.From)
		document.Unique(d, to, &r.To)
	}
}

// CheckProperty checks the name of a property.
func CheckProperty(d *document.Doc, name *string) {
	if len(*name) > trackway.MaxNameBytes {
		d.Report(name, "must be the name of a property, in at most %d bytes", trackway.MaxNameBytes)
	}
}
