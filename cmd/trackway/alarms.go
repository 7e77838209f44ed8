package main

import (
	"context"
	"net/http"
	"net/url"

	"trackway/cmd/trackway/alarms"
)

// alarmTools returns what the commands about alarms use.
func alarmTools(out output) alarms.Tools {
	return alarms.Tools{Stdout: out.stdout, Stderr: out.stderr, Until: until, Print: printIndented, Ask: func(
		ctx context.Context, config, data, method, route string, query url.Values, into any,
	) error {
		return (&dataFlags{configFile{Config: config}, data}).with(ctx, out, false, func(client *http.Client) error {
			return get(ctx, client, method, route, query, into)
		})
	}}
}
