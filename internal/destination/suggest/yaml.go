package suggest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// YAML returns the proposal as the section columns of a destination, ready to
// be pasted, with a comment on each column. Each line begins with indent.
func (p *Proposal) YAML(indent string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# From a sample of %d events of %d types.\n", indent, p.Events, len(p.Types))
	if p.Left > 0 {
		fmt.Fprintf(&b, "%s# %d more were left out: there are too many, or their names collide.\n", indent, p.Left)
	}
	if len(p.Columns) == 0 {
		fmt.Fprintf(&b, "%s# No property is in enough of the events.\n%scolumns: []\n", indent, indent)
		return b.String()
	}
	fmt.Fprintf(&b, "%scolumns:\n", indent)
	for i := range p.Columns {
		fmt.Fprintf(&b, "%s  %s\n", indent, p.Columns[i].line(p))
	}
	return b.String()
}

// line returns a column as an item of a list.
func (c *Column) line(p *Proposal) string {
	var fields []string
	if c.Type != "" {
		fields = append(fields, "type: "+scalar(c.Type))
	}
	fields = append(fields, "property: "+scalar(c.Property))
	if c.Name != c.Property {
		fields = append(fields, "name: "+scalar(c.Name))
	}
	fields = append(fields, "as: "+scalar(c.As.String()))
	of := p.Events
	if c.Type != "" {
		of = p.Types[c.Type]
	}
	comment := fmt.Sprintf("%d of %d events (%s %%)", c.Events, of, strconv.FormatFloat(c.Percent(), 'f', -1, 64))
	if c.Misfits > 0 {
		comment += fmt.Sprintf("; values that would not fit: %d", c.Misfits)
	}
	return fmt.Sprintf("- {%s} # %s", strings.Join(fields, ", "), comment)
}

// simple matches texts that YAML reads as strings without quotes, unless they
// are reserved words.
var simple = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var reserved = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// scalar returns a text in a form that YAML reads as a string. A JSON string
// without raw control characters is also a double-quoted string of YAML.
func scalar(text string) string {
	if simple.MatchString(text) && !slices.Contains(reserved, strings.ToLower(text)) {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
