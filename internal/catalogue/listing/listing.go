// Package listing prints the catalogue of events for operators.
package listing

import (
	"io"
	"strconv"
	"strings"
	"time"

	"trackway/internal/catalogue"
	"trackway/internal/terminal"
)

// Types prints a row for each type.
func Types(w io.Writer, v *catalogue.View) error {
	if v.Events == 0 {
		terminal.Say(w, "There are no events yet.\n")
		return nil
	}
	t := terminal.NewColumns(w)
	t.Row("TYPE", "EVENTS", "SHARE", "24 H", "FIRST SEEN", "LAST SEEN", "PROPERTIES", "")
	for i := range v.Types {
		one := &v.Types[i]
		t.Row(one.Type, one.Events, percent(one.Share), one.Events24h, moment(one.FirstSeen), moment(one.LastSeen), len(one.Properties), isNew(one.New))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if v.OtherTypes > 0 {
		terminal.Say(w, "%s of other types, which have no place here\n", terminal.Plural(v.OtherTypes, "event"))
	}
	if !v.Exact {
		terminal.Say(w, "The numbers are estimates: the catalogue has looked at %s.\n", terminal.Plural(v.LookedAt, "event"))
	}
	return nil
}

// Properties prints the properties of each type.
func Properties(w io.Writer, v *catalogue.View) error {
	for i := range v.Types {
		if err := printType(w, &v.Types[i]); err != nil {
			return err
		}
	}
	return nil
}

func printType(w io.Writer, one *catalogue.Type) error {
	terminal.Say(w, "%s: %s, the last at %s\n", one.Type, terminal.Plural(one.Events, "event"), moment(one.LastSeen))
	t := terminal.NewColumns(w)
	t.Row("PROPERTY", "SHARE", "FIRST SEEN", "LAST SEEN", "VALUES", "EXAMPLES", "")
	for i := range one.Properties {
		p := &one.Properties[i]
		var values, examples []string
		for _, kind := range p.Values {
			text := kind.Shape
			if len(p.Values) > 1 {
				text = percent(kind.Share) + " " + text
			}
			values = append(values, text)
		}
		for _, e := range p.Examples {
			examples = append(examples, string(e))
		}
		t.Row(p.Name, percent(p.Share), moment(p.FirstSeen), moment(p.LastSeen), strings.Join(values, "; "), strings.Join(examples, ", "), isNew(p.New))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if one.OtherProperties > 0 {
		terminal.Say(w, "%s had other properties, which have no place here\n", terminal.Plural(one.OtherProperties, "event"))
	}
	return nil
}

// percent says a share, so that a small one does not look like none.
func percent(share float64) string {
	const least, whole = 0.1, 100
	if p := share * whole; p > 0 && p < least {
		return "<0.1%"
	}
	return strconv.FormatFloat(share*whole, 'f', 1, 64) + "%"
}

func moment(unix int64) string { return time.Unix(unix, 0).Local().Format(time.DateTime) }

func isNew(yes bool) string {
	if yes {
		return "new"
	}
	return ""
}
