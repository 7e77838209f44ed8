package segment

import (
	"strings"

	"trackway"
	"trackway/internal/format/tracking"
	"trackway/internal/format/value"
)

var (
	errJSON   = &trackway.Error{Code: trackway.Invalid, Msg: "Invalid JSON: expected an object."}
	errNoType = value.Required("type")
)

// The fields of messages, by the fields of the tracking API that the domain's
// errors name.
var fields = map[string]string{"customer_ids": "userId, anonymousId", "event_type": "event"}

// Text returns an error as a sentence, with the names of this format's fields.
func Text(err *trackway.Error) string {
	name, rest, _ := strings.Cut(err.Field, ".")
	if own, ok := fields[name]; ok && err.Reason != "" {
		renamed := *err
		renamed.Field = own
		if rest != "" {
			renamed.Field += " (" + rest + ")"
		}
		err = &renamed
	}
	if err.Reason == trackway.Nobody {
		return "A message needs a userId or an anonymousId."
	}
	return tracking.Text(err)
}
