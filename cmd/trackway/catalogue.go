package main

import (
	"net/http"
	"net/url"

	"trackway/internal/catalogue"
	"trackway/internal/catalogue/listing"
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
		case len(c.Types) == 0:
			return listing.Types(out.stdout, &v)
		}
		return listing.Properties(out.stdout, &v)
	})
}
