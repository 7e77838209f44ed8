package foreign

import (
	"regexp"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/posthog"
	"trackway/internal/format/value"
)

// decodePostHog reads a line of PostHog's batch exports in the format JSON
// lines, of the models events ({"uuid", "event", "distinct_id", "properties",
// "timestamp", …}) and persons ({"distinct_id", "person_id", "properties",
// "is_deleted", …}; posthog.com/docs/cdp/batch-exports/s3, "Models"), or a row
// of events as CSV. There, properties are JSON in one column, or columns called
// properties.NAME.
//
// An event becomes what the same message becomes if a client sends it to this
// server: see package posthog. A person has the properties as of the last
// change. Persons that were deleted are left out.
func decodePostHog(line []byte, from *Source) ([]trackway.Command, *trackway.Error) {
	o, ok := read(line)
	if !ok {
		return nil, errObject
	}
	if o.get("event").Absent() {
		r := &row{Source: from}
		r.postHogPerson(o)
		return r.finish()
	}
	if o.get("timestamp").Absent() {
		return nil, value.Required("timestamp")
	}
	return from.sent(posthog.Capture, "", nested(o, line), "")
}

// nested returns an event with all properties in one object: unchanged, or with
// the columns of a CSV file moved there.
func nested(o object, line []byte) []byte {
	const prefix = "properties."
	properties, _ := o.inner("properties")
	flat := false
	for _, m := range o {
		if name, is := strings.CutPrefix(m.name, prefix); is {
			properties, flat = append(properties, member{name, m.value}), true
		}
	}
	if !flat {
		return line
	}
	text := []byte{'{'}
	for _, name := range []string{"uuid", "event", "distinct_id", "timestamp"} {
		if v := o.get(name); !v.Absent() {
			text = append(canonjson.AppendString(text, name), ':')
			text = append(append(text, v.Raw...), ',')
		}
	}
	text = append(text, `"properties":`...)
	return append(properties.appendText(text), '}')
}

func (r *row) postHogPerson(o object) {
	if o.get("distinct_id").Absent() {
		r.refuse(value.Required("event"))
		return
	}
	if o.get("is_deleted").Kind == canonjson.True {
		return
	}
	at := r.AsOf
	for _, name := range []string{"created_at", "_inserted_at"} { // the latter is later
		if v := o.get(name); !v.Absent() {
			var err *trackway.Error
			if at, err = timeOf(name, v); err != nil {
				r.refuse(err)
				return
			}
		}
	}
	ids := &naming{project: r.Project}
	if id := o.get("distinct_id"); madeByPostHog(o.text("distinct_id")) {
		ids.device("distinct_id", id)
	} else {
		ids.user("distinct_id", id)
	}
	properties, _ := o.inner("properties")
	set, err := properties.properties()
	if err == nil {
		err = ids.err
	}
	if err != nil {
		r.refuse(err)
		return
	}
	r.update(ids, at, set)
}

// madeID matches the ids that PostHog's SDKs make up for people who have not
// signed in: UUIDs of version 7 (RFC 9562, section 5.7) or, in versions until
// 2023, five hexadecimal numbers of other lengths.
var madeID = regexp.MustCompile(`^([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{13,16}-[0-9a-f]{10,16}-[0-9a-f]{6,9}-[0-9a-f]{4,9}-[0-9a-f]{13,16})$`)

// madeByPostHog reports whether the distinct id of a person is the id of a
// device. Events say so themselves, but persons do not.
func madeByPostHog(id string) bool { return madeID.MatchString(id) }
