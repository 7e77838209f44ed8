package config

import (
	"time"

	"github.com/goccy/go-yaml/ast"

	"trackway"
	"trackway/internal/config/scalar"
)

// byAge maps event types to how long they are kept. Its keys may be any text,
// unlike those of settings.
type byAge []typeAge

type typeAge struct {
	Type string
	Age  scalar.Age
}

func (d *doc) ages(at *byAge, n ast.Node, field string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.report(at, "must hold types of events and times, such as {page_visit: 30d}")
		return
	}
	*at = make(byAge, len(m.Values)) // never grows, because places are addresses
	lines := make(map[string]int)
	for i, pair := range m.Values {
		a, key := &(*at)[i], pair.Key.GetToken()
		a.Type = key.Value
		p := place{file: d.name, line: key.Position.Line, column: key.Position.Column, field: join(field, scalar.Quoted(a.Type))}
		d.places[&a.Type] = p
		if first, again := lines[a.Type]; again {
			d.report(&a.Type, "is given twice, first in line %d", first)
			continue
		}
		lines[a.Type] = p.line
		if len(a.Type) == 0 || len(a.Type) > trackway.MaxTypeBytes {
			d.report(&a.Type, "must be a type of events, in 1 to %d bytes", trackway.MaxTypeBytes)
		}
		d.places[&a.Age] = d.placeOf(pair.Value, p.field)
		if want := scalar.Set(&a.Age, pair.Value); want != "" {
			d.report(&a.Age, "%s", want)
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
