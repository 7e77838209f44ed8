package feed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"

	"trackway/internal/canonjson"
	"trackway/internal/cell"
	"trackway/internal/control"
	"trackway/internal/format/tracking"
)

// Mapping says what each column of a CSV file becomes. The zero value uses the
// columns whose names equal a target.
type Mapping struct {
	// Map leads from targets to names of columns. The targets are
	// customer_ids.NAME, properties.NAME, properties (an object as JSON),
	// event_type, timestamp and update_timestamp.
	Map       map[string]string `yaml:"map"`
	EventType string            `yaml:"event_type"` // of every row; empty: a column has it, or all rows are customers
	String    []string          `yaml:"string"`     // columns that are text whatever they look like
	JSON      []string          `yaml:"json"`       // columns whose cells are JSON
	Delimiter string            `yaml:"delimiter"`  // empty: a comma; in files called .tsv a tab
	Raw       bool              `yaml:"raw"`        // cells are taken unchanged: none has [cell.Guard]'s apostrophe
}

// LoadMapping reads a mapping from a YAML or JSON file.
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

// The targets, and the prefixes of targets that end in a name.
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
	raw        bool
	repeated   bool     // two columns have the same name
	unused     []string // columns that become nothing
	name       string   // of the commands
	eventType  string   // of all; empty: of a column
	places     map[string]int
	ids        []column
	properties []column
	at         string // target of the time
	plain      []string
	text       []byte // of the command
}

// column is a column that becomes an identifier or a property.
type column struct {
	place        int
	name         string
	text, asJSON bool
}

// columns matches the mapping with the columns of a file.
func (m *Mapping) columns(header []string, delimiter string) (*columns, error) {
	if err := m.checkHeader(header, delimiter); err != nil {
		return nil, err
	}
	targets := m.Map
	if len(targets) == 0 {
		targets = map[string]string{}
		for _, name := range header {
			if isTarget(name) {
				targets[name] = name
			} else if meant := strings.ToLower(strings.TrimSpace(name)); isTarget(meant) {
				return nil, fmt.Errorf("the column %q has nearly the name of the target %q: rename it, or use --map", name, meant)
			}
		}
	}
	c := &columns{header: header, raw: m.Raw, name: tracking.Customers, eventType: m.EventType, places: map[string]int{}, at: toUpdate}
	used := make([]bool, len(header))
	for _, target := range slices.Sorted(maps.Keys(targets)) {
		place, err := c.add(m, target, targets[target])
		if err != nil {
			return nil, err
		}
		used[place] = true
	}
	for i, name := range header {
		c.repeated = c.repeated || slices.Contains(header[:i], name)
		if !used[i] {
			c.unused = append(c.unused, name)
		}
	}
	if _, typed := c.places[toType]; typed || m.EventType != "" {
		c.name, c.at = tracking.Events, toTime
	}
	return c, c.check(m)
}

// checkHeader refuses a first row that does not name columns, because it was
// split at the wrong characters or is in another encoding.
func (m *Mapping) checkHeader(header []string, delimiter string) error {
	for _, name := range header {
		if !utf8.ValidString(name) {
			return fmt.Errorf("the column %q is not in UTF-8: save the file in UTF-8", name)
		}
	}
	if at := strings.IndexAny(header[0], ",;\t|"); len(header) == 1 && m.Delimiter == "" && at >= 0 {
		return fmt.Errorf("the only column is %q: is %q between the columns, not %q? Say so by --delimiter", header[0], header[0][at], delimiter)
	}
	return nil
}

func (c *columns) add(m *Mapping, target, name string) (place int, err error) {
	if !isTarget(target) {
		return 0, fmt.Errorf("mapping: %q is no target: expected customer_ids.NAME, properties.NAME, properties, event_type, timestamp or update_timestamp", target)
	}
	if place, err = c.find(name); err != nil {
		return 0, err
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
	return place, nil
}

// find returns the place of the only column that has a name.
func (c *columns) find(name string) (place int, err error) {
	switch place = slices.Index(c.header, name); {
	case place < 0:
		return 0, fmt.Errorf("mapping: there is no column %q, only %s", name, Quoted(c.header))
	case name == "":
		return 0, fmt.Errorf("mapping: column %d has no name: give it one", place+1)
	}
	if again := slices.Index(c.header[place+1:], name); again >= 0 {
		return 0, fmt.Errorf("mapping: the name %q is not unique: columns %d and %d have it", name, place+1, place+again+2)
	}
	return place, nil
}

// Quoted lists the names of columns. It quotes characters that a terminal would
// interpret.
func Quoted(names []string) string {
	const enough = 50
	more := ""
	if len(names) > enough {
		names, more = names[:enough], fmt.Sprintf(" and %d more", len(names)-enough)
	}
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = strconv.Quote(name)
	}
	return strings.Join(list, ", ") + more
}

func (c *columns) check(m *Mapping) error {
	if len(c.ids) == 0 {
		return fmt.Errorf("mapping: no column says whose row it is: map customer_ids.NAME to one of %s", Quoted(c.header))
	}
	for _, name := range slices.Concat(m.String, m.JSON) {
		if _, err := c.find(name); err != nil {
			return err
		}
		if slices.Contains(m.String, name) && slices.Contains(m.JSON, name) {
			return fmt.Errorf("mapping: column %q is listed as both text and JSON", name)
		}
	}
	if _, typed := c.places[toType]; typed && m.EventType != "" {
		return fmt.Errorf("mapping: a column becomes event_type, and --event-type sets %q for all rows: use only one of the two", m.EventType)
	}
	unused := map[string]string{tracking.Events: toUpdate, tracking.Customers: toTime}[c.name]
	if _, mapped := c.places[unused]; mapped {
		return fmt.Errorf("mapping: rows that become %s have no %s, but %s", c.name, unused, c.at)
	}
	return nil
}

// command returns the command that a row becomes, or the reason why it becomes
// none. The command is valid until the next call. The cells are not changed.
func (c *columns) command(row []string) ([]byte, *control.Refusal) {
	cells := c.plain[:0]
	for i, text := range row {
		if !utf8.ValidString(text) {
			return nil, refuse(c.header[i], "The cell is not UTF-8.")
		}
		if !c.raw {
			text = cell.Unguard(text)
		}
		cells = append(cells, text)
	}
	c.plain = cells
	b := canonjson.AppendString(append(c.text[:0], `{"name":`...), c.name)
	b = c.appendIDs(append(b, `,"data":{"customer_ids":{`...), cells)
	b = append(b, '}')
	if c.name == tracking.Events {
		eventType := c.eventType
		if place, ok := c.places[toType]; ok {
			eventType = cells[place]
		}
		b = canonjson.AppendString(append(b, `,"event_type":`...), eventType)
	}
	b, refused := c.appendTime(b, cells)
	if refused != nil {
		return nil, refused
	}
	if b, refused = c.appendProperties(append(b, `,"properties":{`...), cells); refused != nil {
		return nil, refused
	}
	c.text = onOneLine(append(b, "}}}"...))
	return c.text, nil
}

// onOneLine replaces line breaks in JSON that a cell holds. They are always
// between the tokens of the JSON, because inside a text they are escaped.
func onOneLine(b []byte) []byte {
	for i, char := range b {
		if char == '\n' || char == '\r' {
			b[i] = ' '
		}
	}
	return b
}

func (c *columns) appendIDs(b []byte, cells []string) []byte {
	first := true
	for _, id := range c.ids {
		text := cells[id.place]
		if text == "" {
			continue
		}
		b = appendName(b, id.name, &first)
		if text[0] == '[' && json.Valid([]byte(text)) {
			b = append(b, text...) // several values, as an export writes them
		} else {
			b = canonjson.AppendString(b, text)
		}
	}
	return b
}

// appendTime appends the time. An event with an empty cell is refused, because
// it would otherwise happen now.
func (c *columns) appendTime(b []byte, cells []string) ([]byte, *control.Refusal) {
	place, mapped := c.places[c.at]
	if !mapped {
		return b, nil
	}
	text := strings.TrimSpace(cells[place])
	if text == "" {
		if c.name == tracking.Events {
			return b, refuse(c.at, "Field '"+c.at+"': the cell is empty.")
		}
		return b, nil
	}
	first := false
	b = appendName(b, c.at, &first)
	if isNumber(text) {
		return append(b, text...), nil
	}
	return canonjson.AppendString(b, text), nil
}

func (c *columns) appendProperties(b []byte, cells []string) ([]byte, *control.Refusal) {
	first := true
	if place, ok := c.places[toProperties]; ok && cells[place] != "" {
		object := strings.TrimSpace(cells[place])
		if !strings.HasPrefix(object, "{") || !json.Valid([]byte(object)) {
			return b, refuse(toProperties, "Field 'properties': the cell is not a JSON object.")
		}
		members := strings.TrimSpace(object[1 : len(object)-1])
		b, first = append(b, members...), members == ""
	}
	for _, p := range c.properties {
		text := cells[p.place]
		if text == "" {
			continue
		}
		b = appendName(b, p.name, &first)
		switch {
		case p.asJSON && !json.Valid([]byte(text)):
			return b, refuse(toProperty+p.name, "Field 'properties."+p.name+"': the cell is not JSON.")
		case p.asJSON, !p.text && (text == "true" || text == "false" || isNumber(text)):
			b = append(b, text...)
		default:
			b = canonjson.AppendString(b, text)
		}
	}
	return b, nil
}

// appendName appends a member's name, after a comma unless it is the first.
func appendName(b []byte, name string, first *bool) []byte {
	if !*first {
		b = append(b, ',')
	}
	*first = false
	return append(canonjson.AppendString(b, name), ':')
}

// maxDigits is how many digits before the point every JSON reader handles
// exactly. A longer number is usually a name (a card, a tracking code) and not
// a quantity. maxAllDigits is how many digits a number may have before and
// after the point together; the server refuses longer ones.
const (
	maxDigits    = 15
	maxAllDigits = 64
)

// isNumber reports whether a cell is certainly a number: written in plain
// decimals, as in JSON, and small enough to be exact everywhere. So 1e5, 007,
// +49 and the number of a card are texts.
func isNumber(text string) bool {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if !allDigits(whole) || point && !allDigits(fraction) || len(whole) > maxDigits || len(whole)+len(fraction) > maxAllDigits {
		return false
	}
	return len(whole) == 1 || whole[0] != '0'
}

func allDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

func refuse(field, msg string) *control.Refusal { return &control.Refusal{Field: field, Error: msg} }
