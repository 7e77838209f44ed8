package config

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"trackway"
	"trackway/internal/config/document"
	"trackway/internal/config/scalar"
	"trackway/internal/config/setting"
)

// byAge maps event types to how long they are kept. Its keys may be any text,
// unlike those of settings.
type byAge []typeAge

type typeAge struct {
	Type string
	Age  scalar.Age
}

// DecodeYAML implements [document.Decoder].
func (at *byAge) DecodeYAML(d *document.Doc, n ast.Node, field string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.Report(at, "must hold types of events and times, such as {page_visit: 30d}")
		return
	}
	*at = make(byAge, len(m.Values)) // never grows, because places are addresses
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

// retention translates the section. Mistakes were found when it was read.
func (keyring) retention(written *retention) trackway.Retention {
	domain := trackway.Retention{Default: time.Duration(written.Default)}
	for _, t := range written.Events {
		if domain.Events == nil {
			domain.Events = make(map[string]time.Duration)
		}
		domain.Events[t.Type] = time.Duration(t.Age)
	}
	return domain
}
