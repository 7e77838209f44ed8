// Package suggest proposes typed columns for a destination, from a sample of
// events. A [Sample] looks at the values of each property of each type of
// events. It proposes the narrowest type that fits nearly all of them, by the
// rules of package column, and formats the proposal as configuration. It knows
// nothing about the store or the destination.
package suggest

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"trackway/internal/canonjson"
	"trackway/internal/destination/column"
	"trackway/internal/iso8601"
)

// Bounds. Types and names of properties come from clients, so there may be any
// number of them.
const (
	mostTypes      = 200 // types that are looked at
	mostProperties = 300 // properties of each of them

	mostColumns = 200 // that are proposed
	longestName = 63  // bytes of a column's name: PostgreSQL cuts longer ones
)

// Sample collects events. The zero value is empty and ready to use. It is not
// safe for concurrent use. Its memory is bounded for any events.
type Sample struct {
	events uint64
	types  map[string]*eventType
}

type eventType struct {
	events     uint64
	properties map[string]*values
}

// values counts the values of a property by their form.
type values struct {
	events, nulls uint64 // with the property; with null

	flags    uint64 // true, false
	integers uint64 // numbers without a fraction, within bigint
	decimals uint64 // other numbers with few digits
	doubles  uint64 // all other numbers
	dates    uint64 // strings: a day
	times    uint64 // strings: a time
	texts    uint64 // other strings
	nested   uint64 // objects and arrays

	whole, scale int // most digits of integers and decimals before and after the point
}

// Decimals with more digits after the point are measurements, not money.
const mostScale = 6

// Add adds an event. properties is an object in canonical JSON, as the
// destination would get it: after dropping and renaming. Add keeps no part of
// it.
func (s *Sample) Add(typ string, properties []byte) {
	if s.types == nil {
		s.types = map[string]*eventType{}
	}
	s.events++
	t := s.types[typ]
	if t == nil {
		if len(s.types) == mostTypes {
			return
		}
		t = &eventType{properties: map[string]*values{}}
		s.types[strings.Clone(typ)] = t
	}
	t.events++
	scan := canonjson.Scan(properties)
	for name := range scan.Members {
		value := scan.Value()
		v := t.properties[name]
		if v == nil {
			if len(t.properties) == mostProperties {
				continue
			}
			v = &values{}
			t.properties[strings.Clone(name)] = v
		}
		v.add(value)
	}
}

func (v *values) add(value canonjson.Value) {
	v.events++
	switch value.Kind {
	case canonjson.Null:
		v.nulls++
	case canonjson.True, canonjson.False:
		v.flags++
	case canonjson.Number:
		v.addNumber(value.Raw)
	case canonjson.String:
		v.addText(value.Text())
	default:
		v.nested++
	}
}

func (v *values) addNumber(raw []byte) {
	plain, ok := canonjson.PlainDecimal(raw, column.MaxPrecision)
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(plain, "-"), ".")
	if !ok || len(fraction) > mostScale {
		v.doubles++
		return
	}
	if _, fits := (column.Type{Kind: column.BigInt}).Convert(raw); fits {
		v.integers++
	} else {
		v.decimals++
	}
	v.whole, v.scale = max(v.whole, len(whole)), max(v.scale, len(fraction))
}

func (v *values) addText(text string) {
	const day = len("2006-01-02")
	switch _, ok := iso8601.Parse(text); {
	case !ok:
		v.texts++
	case len(text) <= day:
		v.dates++
	default:
		v.times++
	}
}

// enough is the share of a property's values that must fit a type.
const enough = 0.99

// best returns the narrowest type that fits nearly all values, and the number
// of values that do not fit. It returns false if there is no value, or if most
// values are objects and arrays.
func (v *values) best() (as column.Type, misfits uint64, ok bool) {
	n := v.events - v.nulls
	if n == 0 || v.nested*2 > n {
		return column.Type{}, 0, false
	}
	fits := func(some uint64) bool { return float64(some) >= enough*float64(n) }
	numbers := v.integers + v.decimals + v.doubles
	switch {
	case fits(v.flags):
		return column.Type{Kind: column.Boolean}, n - v.flags, true
	case fits(v.integers) && v.decimals+v.doubles == 0:
		return column.Type{Kind: column.BigInt}, n - v.integers, true
	case fits(v.integers+v.decimals) && v.doubles == 0 && v.scale > 0:
		return roomy(v.whole, v.scale), n - v.integers - v.decimals, true
	case fits(numbers):
		return column.Type{Kind: column.Double}, n - numbers, true
	case fits(v.dates) && v.times == 0:
		return column.Type{Kind: column.Date}, n - v.dates, true
	case fits(v.dates + v.times):
		return column.Type{Kind: column.Timestamp}, n - v.dates - v.times, true
	}
	return column.Type{Kind: column.Text}, 0, true
}

// roomy returns a decimal type with room for values a hundred times as large.
// It has at least 12 digits, 2 of them after the point, because most decimals
// are money.
func roomy(whole, scale int) column.Type {
	const usual, room = 12, 2
	scale = max(scale, 2)
	return column.Type{Kind: column.Decimal, Precision: min(max(usual, whole+room+scale), column.MaxPrecision), Scale: scale}
}

// Column is a proposed column.
type Column struct {
	Type     string // of the events; empty: all types
	Property string
	Name     string
	As       column.Type
	Events   uint64  // events of this type in the sample that have the property
	Share    float64 // share of the events of this type that have it, up to 1
	Misfits  uint64  // values of the sample that would not fit
}

// Proposal is what a sample leads to.
type Proposal struct {
	Events  uint64            // in the sample
	Types   map[string]uint64 // number of events by type, for the types that were looked at
	Columns []Column          // those for all types first, then by type and property
	Left    int               // columns that were left out because there are too many, or because their names collide
}

// Propose returns columns for the properties that at least the given share of a
// type's events have. A property that most types have in the same form becomes
// one column for all types.
func (s *Sample) Propose(share float64) *Proposal {
	p := &Proposal{Events: s.events, Types: map[string]uint64{}}
	var found []Column
	for name, t := range s.types {
		p.Types[name] = t.events
		for property, v := range t.properties {
			as, misfits, ok := v.best()
			part := float64(v.events) / float64(t.events)
			if ok && part >= share && property != "" {
				found = append(found, Column{Type: name, Property: property, As: as, Events: v.events, Share: part, Misfits: misfits})
			}
		}
	}
	found = s.joined(found)
	// If not all can have a column, those with the most values get one.
	slices.SortFunc(found, func(a, b Column) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Property, b.Property))
	})
	var given names
	for _, c := range found {
		if given.give(&c) {
			p.Columns = append(p.Columns, c)
		} else {
			p.Left++
		}
	}
	slices.SortFunc(p.Columns, func(a, b Column) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Property, b.Property))
	})
	return p
}

// joined replaces the columns of a property that most types have, and at least
// three, by one column for all types. Before that, it widens numeric types so
// that they agree.
func (s *Sample) joined(found []Column) []Column {
	byProperty := map[string][]*Column{}
	for i := range found {
		c := &found[i]
		byProperty[c.Property] = append(byProperty[c.Property], c)
	}
	const few = 3
	var all []Column
	for property, cs := range byProperty {
		as, agree := cs[0].As, true
		for _, c := range cs[1:] {
			var ok bool
			as, ok = wider(as, c.As)
			agree = agree && ok
		}
		one := Column{Property: property, As: as}
		for _, c := range cs {
			if agree {
				c.As = as
			}
			one.Events, one.Misfits = one.Events+c.Events, one.Misfits+c.Misfits
		}
		if agree && len(cs) >= few && len(cs)*2 > len(s.types) {
			one.Share = float64(one.Events) / float64(s.events)
			all = append(all, one)
			continue
		}
		for _, c := range cs {
			all = append(all, *c)
		}
	}
	return all
}

// wider returns a type that holds the values of both types, if there is one.
func wider(a, b column.Type) (column.Type, bool) {
	number := func(t column.Type) bool {
		return t.Kind == column.BigInt || t.Kind == column.Decimal || t.Kind == column.Double
	}
	whole := func(t column.Type) int {
		if t.Kind == column.BigInt {
			return len("9223372036854775807")
		}
		return t.Precision - t.Scale
	}
	switch {
	case a == b:
		return a, true
	case a.Kind == column.Date && b.Kind == column.Timestamp, a.Kind == column.Timestamp && b.Kind == column.Date:
		return column.Type{Kind: column.Timestamp}, true
	case !number(a) || !number(b):
		return a, false
	case a.Kind == column.Double || b.Kind == column.Double:
		return column.Type{Kind: column.Double}, true
	}
	scale := max(a.Scale, b.Scale)
	precision := max(whole(a), whole(b)) + scale
	return column.Type{Kind: column.Decimal, Precision: min(precision, column.MaxPrecision), Scale: scale}, precision <= column.MaxPrecision
}

// names are the names of columns that are in use, with their types.
type names []Column

// taken lists the names of columns that some kinds of databases or their views
// have, in addition to [column.Own].
var taken = []string{"person", "changed", "tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// own reports whether a name is reserved, so that no declared column can have
// it.
func own(name string) bool {
	same := func(own string) bool { return strings.EqualFold(own, name) }
	return slices.ContainsFunc(column.Own, same) || slices.ContainsFunc(taken, same)
}

// give gives a column its name: the property's name or, if that is taken, the
// type's name and the property's. It reports false if both are taken or too
// long, or if there are too many columns. It refuses names with U+0000, because
// not all databases support it.
func (n *names) give(c *Column) bool {
	if strings.Contains(c.Type+c.Property, "\x00") {
		return false
	}
	for _, name := range []string{c.Property, strings.TrimPrefix(c.Type+"_"+c.Property, "_")} {
		if len(name) > longestName || own(name) {
			continue
		}
		i := slices.IndexFunc(*n, func(o Column) bool { return strings.EqualFold(o.Name, name) })
		if i >= 0 && ((*n)[i].Name != name || (*n)[i].As != c.As || (*n)[i].Type == c.Type) {
			continue
		}
		if i < 0 && len(*n) == mostColumns {
			return false
		}
		c.Name = name
		if i < 0 {
			*n = append(*n, *c)
		}
		return true
	}
	return false
}

// Percent returns the share in percent. It rounds down, so that only a property
// of all events has 100.
func (c *Column) Percent() float64 { return math.Floor(c.Share*1000) / 10 }
