package posthog

import (
	"strings"

	"trackway"
	"trackway/internal/format/tracking"
)

// Text returns an error as a whole sentence for clients, with the names of
// fields that they know.
func Text(err *trackway.Error) string {
	own := *err
	field, _, _ := strings.Cut(err.Field, ".")
	switch field {
	case "customer_ids":
		own.Field = "distinct_id"
		if err.Reason == trackway.Nobody {
			return "Field 'distinct_id' is required, and has to name somebody."
		}
	case "event_type":
		own.Field = "event"
	}
	return tracking.Text(&own)
}
