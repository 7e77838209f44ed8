package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"trackway/internal/cell"
	"trackway/internal/control"
	"trackway/internal/wire"
)

// Mapping says which column of a CSV file becomes what. The zero value takes the columns that are called like targets.
type Mapping struct {
	// Map leads from targets to names of columns. The targets are customer_ids.NAME, properties.NAME, properties (an object
	// as JSON), event_type, timestamp and update_timestamp.
	Map       map[string]string `yaml:"map"`
	EventType string            `yaml:"event_type"` // of every row; empty: by column or, without one, the rows are customers
	String    []string          `yaml:"string"`     // columns that are text whatever they look like
	JSON      []string          `yaml:"json"`       // columns whose cells are JSON
	Delimiter string            `yaml:"delimiter"`  // empty: a comma; in files called .tsv a tab
}

// LoadMapping reads a mapping from a file of YAML or JSON.
func LoadMapping(path string) (m Mapping, err error) {
	f, err := os.Open(path)
	if err != nil {
		return m, err
	}
	defer func() { _ = f.Close() }() // what was read is read
	if err := yaml.NewDecoder(f, yaml.Strict()).Decode(&m); err != nil && !errors.Is(err, io.EOF) {
		return m, fmt.Errorf("read %s: %w", path, err)
	}
	return m, nil
}

// The targets, and what those begin with that go on with a name.
const (
	toIDs        = "customer_ids."
	toProperty   = "properties."
	toProperties = "properties"
	toType       = "event_type"
	toTime       = "timestamp"
	toUpdate     = "update_timestamp"
)

func isTarget(target string) bool {
	switch target {
	case toProperties, toType, toTime, toUpdate:
		return true
	}
	name, isID := strings.CutPrefix(target, toIDs)
	if !isID {
		name, isID = strings.CutPrefix(target, toProperty)
	}
	return isID && name != ""
}

// columns makes commands of rows.
type columns struct {
	header     []string
	name       string // of the commands
	eventType  string // of all; empty: of a column
	places     map[string]int
	ids        []column
	properties []column
	at         string // target of the time
}

// column is one that becomes an identifier or a property.
type column struct {
	place        int
	name         string
	text, asJSON bool
}

// columns fits the mapping to the columns that a file has.
func (m *Mapping) columns(header []string) (*columns, error) {
	targets := m.Map
	if len(targets) == 0 {
		targets = map[string]string{}
		for _, name := range header {
			if isTarget(name) {
				targets[name] = name
			}
		}
	}
	c := &columns{header: header, name: wire.Customers, eventType: m.EventType, places: map[string]int{}, at: toUpdate}
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		if err := c.add(m, target, targets[target]); err != nil {
			return nil, err
		}
	}
	if _, typed := c.places[toType]; typed || m.EventType != "" {
		c.name, c.at = wire.Events, toTime
	}
	return c, c.check(m)
}

func (c *columns) add(m *Mapping, target, name string) error {
	if !isTarget(target) {
		return fmt.Errorf("mapping: %q is no target: expected customer_ids.NAME, properties.NAME, properties, event_type, timestamp or update_timestamp", target)
	}
	place := slices.Index(c.header, name)
	if place < 0 {
		return fmt.Errorf("mapping: there is no column %q, only %s", name, strings.Join(c.header, ", "))
	}
	one := column{place: place, text: slices.Contains(m.String, name), asJSON: slices.Contains(m.JSON, name)}
	var isID, isProperty bool
	if one.name, isID = strings.CutPrefix(target, toIDs); isID {
		c.ids = append(c.ids, one)
	} else if one.name, isProperty = strings.CutPrefix(target, toProperty); isProperty {
		c.properties = append(c.properties, one)
	} else {
		c.places[target] = place
	}
	return nil
}

func (c *columns) check(m *Mapping) error {
	if len(c.ids) == 0 {
		return fmt.Errorf("mapping: no column says whose row it is: map customer_ids.NAME to one of %s", strings.Join(c.header, ", "))
	}
	for _, name := range slices.Concat(m.String, m.JSON) {
		if !slices.Contains(c.header, name) {
			return fmt.Errorf("mapping: there is no column %q, only %s", name, strings.Join(c.header, ", "))
		}
	}
	unused := map[string]string{wire.Events: toUpdate, wire.Customers: toTime}[c.name]
	if _, mapped := c.places[unused]; mapped {
		return fmt.Errorf("mapping: rows that become %s have no %s, but %s", c.name, unused, c.at)
	}
	return nil
}

// command returns the command that a row becomes, or why it becomes none.
func (c *columns) command(cells []string) ([]byte, *control.Refusal) {
	for i, text := range cells {
		if !utf8.ValidString(text) {
			return nil, refuse(c.header[i], "The cell is not in UTF-8.")
		}
		cells[i] = cell.Unguard(text) // exports guard them
	}
	b := wire.AppendString([]byte(`{"name":`), c.name)
	b = c.appendIDs(append(b, `,"data":{"customer_ids":{`...), cells)
	b = append(b, '}')
	if c.name == wire.Events {
		eventType := c.eventType
		if place, ok := c.places[toType]; ok {
			eventType = cells[place]
		}
		b = wire.AppendString(append(b, `,"event_type":`...), eventType)
	}
	b, refused := c.appendTime(b, cells)
	if refused != nil {
		return nil, refused
	}
	if b, refused = c.appendProperties(append(b, `,"properties":{`...), cells); refused != nil {
		return nil, refused
	}
	for i, char := range b {
		if char == '\n' || char == '\r' { // between the parts of JSON that a cell holds: in a text they are escaped
			b[i] = ' '
		}
	}
	return append(b, "}}}"...), nil
}

func (c *columns) appendIDs(b []byte, cells []string) []byte {
	first := true
	for _, id := range c.ids {
		cell := cells[id.place]
		if cell == "" {
			continue
		}
		b = appendName(b, id.name, &first)
		if cell[0] == '[' && json.Valid([]byte(cell)) {
			b = append(b, cell...) // several values, as an export writes them
		} else {
			b = wire.AppendString(b, cell)
		}
	}
	return b
}

// appendTime appends the time. An empty cell is refused where events are concerned: it would make the event happen now.
func (c *columns) appendTime(b []byte, cells []string) ([]byte, *control.Refusal) {
	place, mapped := c.places[c.at]
	if !mapped {
		return b, nil
	}
	cell := strings.TrimSpace(cells[place])
	if cell == "" {
		if c.name == wire.Events {
			return b, refuse(c.at, "Field '"+c.at+"': the cell is empty.")
		}
		return b, nil
	}
	first := false
	b = appendName(b, c.at, &first)
	if isNumber(cell) {
		return append(b, cell...), nil
	}
	return wire.AppendString(b, cell), nil
}

func (c *columns) appendProperties(b []byte, cells []string) ([]byte, *control.Refusal) {
	first := true
	if place, ok := c.places[toProperties]; ok && cells[place] != "" {
		object := strings.TrimSpace(cells[place])
		if !strings.HasPrefix(object, "{") || !json.Valid([]byte(object)) {
			return b, refuse(toProperties, "Field 'properties': the cell is no JSON object.")
		}
		members := strings.TrimSpace(object[1 : len(object)-1])
		b, first = append(b, members...), members == ""
	}
	for _, p := range c.properties {
		cell := cells[p.place]
		if cell == "" {
			continue
		}
		b = appendName(b, p.name, &first)
		switch {
		case p.asJSON && !json.Valid([]byte(cell)):
			return b, refuse(toProperty+p.name, "Field 'properties."+p.name+"': the cell is no JSON.")
		case p.asJSON, !p.text && (cell == "true" || cell == "false" || isNumber(cell)):
			b = append(b, cell...)
		default:
			b = wire.AppendString(b, cell)
		}
	}
	return b, nil
}

// appendName appends a member's name, behind a comma unless it is the first.
func appendName(b []byte, name string, first *bool) []byte {
	if !*first {
		b = append(b, ',')
	}
	*first = false
	return append(wire.AppendString(b, name), ':')
}

// maxDigits is how many digits before the point every reader of JSON takes exactly. What has more is a number of something (a
// card, a tracking code) and not a quantity. A number with more than maxAllDigits, those behind the point included, would be
// refused.
const (
	maxDigits    = 15
	maxAllDigits = 64
)

// isNumber tells whether a cell is certainly a number: in plain decimals, as JSON writes them, and no larger than is exact
// everywhere. So 1e5, 007, +49 and the number of a card are texts.
func isNumber(cell string) bool {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(cell, "-"), ".")
	if !allDigits(whole) || point && !allDigits(fraction) || len(whole) > maxDigits || len(whole)+len(fraction) > maxAllDigits {
		return false
	}
	return len(whole) == 1 || whole[0] != '0'
}

func allDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

func refuse(field, msg string) *control.Refusal { return &control.Refusal{Field: field, Error: msg} }
