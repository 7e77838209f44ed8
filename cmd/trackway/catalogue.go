package main

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trackway/internal/catalogue"
	"trackway/internal/terminal"
)

type catalogueCommand struct {
	dataFlags
	projectFlag

	Types []string `arg:"" help:"Types of events whose properties to show. Without any, all types are listed." optional:"" placeholder:"TYPE"`
	JSON  bool     `help:"Print JSON, with the properties of all types." name:"json"`
}

// Run shows the types, or their properties.
func (c *catalogueCommand) Run(out output) error {
	ctx, stop := until()
	defer stop()
	return c.with(ctx, out, false, func(client *http.Client) error {
		var v catalogue.View
		if err := get(ctx, client, http.MethodGet, "/catalogue", url.Values{"project": {c.Project}, "type": c.Types}, &v); err != nil {
			return err
		}
		switch {
		case c.JSON:
			return printIndented(out.stdout, &v)
		case len(v.Types) == 0:
			terminal.Say(out.stdout, "There are no events yet.\n")
			return nil
		case len(c.Types) == 0:
			return printTypes(out.stdout, &v)
		}
		for i := range v.Types {
			if err := printType(out.stdout, &v.Types[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func printTypes(w io.Writer, v *catalogue.View) error {
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
