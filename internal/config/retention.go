package config

import (
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"trackway"
)

// age is how long something is kept: a duration, which may be written in days.
// 0 means forever.
type age time.Duration

const (
	day    = 24 * time.Hour
	minAge = time.Hour
	maxAge = 36500 * day
)

const wantAge = "must be a time from 1h to 36500d, such as 30d or 12h, or forever"

// parseAge parses a number of days (of 24 hours each), a duration, or forever.
func parseAge(s string) (a age, want string) {
	if s == "forever" {
		return 0, ""
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * day
	}
	if err != nil || d < minAge || d > maxAge {
		return 0, wantAge
	}
	return age(d), ""
}

// byAge maps event types to how long they are kept. Its keys may be any text,
// unlike those of settings.
type byAge []typeAge

type typeAge struct {
	Type string
	Age  age
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
		p := place{file: d.name, line: key.Position.Line, column: key.Position.Column, field: join(field, quoted(a.Type))}
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
		if want := setText(&a.Age, pair.Value, parseAge); want != "" {
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
