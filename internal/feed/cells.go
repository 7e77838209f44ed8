package feed

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"trackway/internal/canonjson"
	"trackway/internal/cell"
	"trackway/internal/control"
)

// cells turns the rows of a vendor's file into objects. The server maps the
// objects.
type cells struct {
	header []string
	text   []bool // columns that are text, whatever they look like
	asJSON []bool // columns whose cells are JSON
	raw    bool
	made   []byte // the last object
}

// cells matches the part of the mapping that says how to read cells with the
// columns of a vendor's file.
func (m *Mapping) cells(header []string, delimiter string) (*cells, error) {
	if err := m.checkHeader(header, delimiter); err != nil {
		return nil, err
	}
	c := &cells{header: header, raw: m.Raw}
	for i, name := range header {
		if again := slices.Index(header[i+1:], name); again >= 0 {
			return nil, fmt.Errorf("the name %q is not unique: columns %d and %d have it", name, i+1, i+again+2)
		}
		c.text, c.asJSON = append(c.text, slices.Contains(m.String, name)), append(c.asJSON, slices.Contains(m.JSON, name))
	}
	for _, name := range slices.Concat(m.String, m.JSON) {
		if !slices.Contains(header, name) {
			return nil, fmt.Errorf("mapping: there is no column %q, only %s", name, Quoted(header))
		}
	}
	return c, nil
}

// object returns a row as an object of its non-empty cells, or the reason why
// that is impossible. The object is valid until the next call. A cell becomes a
// number or a boolean as in any other CSV file; it may also become an array or
// an object.
func (c *cells) object(row []string) ([]byte, *control.Refusal) {
	first := true
	b := append(c.made[:0], '{')
	for i, text := range row {
		if !utf8.ValidString(text) {
			return nil, refuse(c.header[i], "The cell is not UTF-8.")
		}
		if !c.raw {
			text = cell.Unguard(text)
		}
		if text == "" {
			continue
		}
		b = appendName(b, c.header[i], &first)
		isJSON := c.asJSON[i] || text[0] == '{' || text[0] == '['
		switch valid := isJSON && json.Valid([]byte(text)); {
		case c.asJSON[i] && !valid:
			return nil, refuse(c.header[i], "Field '"+c.header[i]+"': the cell is not JSON.")
		case !c.text[i] && (valid || text == "true" || text == "false" || isNumber(text)):
			b = append(b, text...)
		default:
			b = canonjson.AppendString(b, text)
		}
	}
	c.made = onOneLine(append(b, '}'))
	return c.made, nil
}
