package foreign

import (
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// anonymous is the beginning of a distinct id of a person who is not yet known,
// in projects with Mixpanel's simplified ID merge. The device's id follows it.
const anonymous = "$device:"

// decodeMixpanel reads a line of the raw event export (one {"event",
// "properties"} a line, docs.mixpanel.com/reference/raw-event-export), of the
// profiles that the Engage API returns ({"$distinct_id", "$properties"}, or a
// page of them with "results", docs.mixpanel.com/docs/export-methods), or of
// either as a CSV file whose columns are properties.
//
// The user id is hard. In events it is $user_id, otherwise the distinct id,
// unless that is a device's. $device_id is soft, and so is any other distinct
// id. The events that link ids ($identify, $create_alias, $merge) only do that.
// The $insert_id is the message id. Names of profile properties lose their $,
// so that $email is the personal property email.
func decodeMixpanel(line []byte, from *Source) ([]trackway.Command, *trackway.Error) {
	o, ok := read(line)
	if !ok {
		return nil, errObject
	}
	r := &row{Source: from}
	if page := o.get("results"); page.Kind == canonjson.Array {
		if err := each(page, func(profile object) { r.mixpanel(profile) }); err != nil {
			r.refuse(err)
		}
		return r.finish()
	}
	r.mixpanel(o)
	return r.finish()
}

// mixpanel reads an event or a profile. In a CSV file, its properties are
// columns beside the others.
func (r *row) mixpanel(o object) {
	if profile := o.get("$distinct_id"); !profile.Absent() {
		properties, nested := o.inner("$properties")
		if !nested {
			properties = filled(o)
		}
		r.mixpanelProfile(profile, properties.without("$distinct_id"))
		return
	}
	event := o.text("event")
	if event == "" {
		r.refuse(value.Required("event"))
		return
	}
	properties, nested := o.inner("properties")
	if !nested {
		properties = filled(o.without("event"))
	}
	r.mixpanelEvent(event, properties)
}

// filled returns the non-empty members. Empty cells of a CSV file are empty
// members.
func filled(o object) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return string(m.value.Raw) == `""` })
}

func (r *row) mixpanelProfile(distinct canonjson.Value, properties object) {
	ids := &naming{project: r.Project}
	ids.mixpanel("$distinct_id", distinct)
	at := r.AsOf
	if seen := properties.get("$last_seen"); !seen.Absent() { // when the profile was updated last
		var err *trackway.Error
		if at, err = timeOf("$last_seen", seen); err != nil {
			r.refuse(err)
			return
		}
	}
	plain := make(object, 0, len(properties))
	for _, m := range properties {
		if name := strings.TrimPrefix(m.name, "$"); name != "" && properties.get(name).Absent() {
			m.name = name
		}
		plain = append(plain, m)
	}
	set, err := plain.properties()
	if err == nil {
		err = ids.err
	}
	if err != nil {
		r.refuse(err)
		return
	}
	r.update(ids, at, set)
}

func (r *row) mixpanelEvent(event string, o object) {
	ids := &naming{project: r.Project}
	at, err := timeOf("time", o.get("time"))
	if err != nil {
		r.refuse(err)
		return
	}
	switch event {
	case "$identify":
		ids.mixpanel("$identified_id", o.get("$identified_id"))
		ids.mixpanelSoft("$anon_id", o.get("$anon_id"))
	case "$create_alias":
		ids.mixpanel("alias", o.get("alias"))
		ids.mixpanelSoft("distinct_id", o.get("distinct_id"))
	case "$merge":
		ids.merged(o.get("$distinct_ids"))
	default:
		r.mixpanelPlain(event, ids, at, o)
		return
	}
	if ids.err != nil {
		r.refuse(ids.err)
		return
	}
	r.update(ids, at, nil)
}

// mixpanelPlain reads an event that does not only link ids.
func (r *row) mixpanelPlain(event string, ids *naming, at trackway.Micros, o object) {
	distinct, device, user := o.get("distinct_id"), o.get("$device_id"), o.get("$user_id")
	switch {
	case !user.Absent():
		ids.user("$user_id", user)
		if string(distinct.Raw) != string(user.Raw) {
			ids.mixpanelSoft("distinct_id", distinct)
		}
	case !device.Absent() && string(distinct.Raw) == string(device.Raw):
		// it is the device's
	default:
		ids.mixpanel("distinct_id", distinct)
	}
	ids.mixpanelSoft("$device_id", device)
	properties, err := o.without("time", "distinct_id", "$device_id", "$user_id", "$insert_id", "token").properties()
	if err == nil {
		err = ids.err
	}
	if err != nil {
		r.refuse(err)
		return
	}
	r.event(ids, event, at, withID(properties, o.get("$insert_id")))
}

// mixpanel adds a distinct id: hard, unless it is a device's.
func (n *naming) mixpanel(field string, v canonjson.Value) {
	if device, is := ofDevice(v); is {
		n.device(field, device)
	} else {
		n.user(field, v)
	}
}

// mixpanelSoft adds a distinct id that is not the user's.
func (n *naming) mixpanelSoft(field string, v canonjson.Value) {
	device, _ := ofDevice(v)
	n.device(field, device)
}

// merged adds the two ids of a $merge. The first one that is not a device's is
// hard.
func (n *naming) merged(list canonjson.Value) {
	if list.Kind != canonjson.Array {
		n.refuse(value.Required("$distinct_ids"))
		return
	}
	user := false
	s := canonjson.Scan(list.Raw)
	for range s.Elements {
		v := s.Value()
		if device, is := ofDevice(v); is || user {
			n.device("$distinct_ids", device)
		} else {
			n.user("$distinct_ids", v)
			user = true
		}
	}
}

// ofDevice returns a distinct id without the prefix of devices, and whether it
// had the prefix.
func ofDevice(v canonjson.Value) (canonjson.Value, bool) {
	if v.Kind != canonjson.String {
		return v, false
	}
	device, is := strings.CutPrefix(v.Text(), anonymous)
	if !is {
		return v, false
	}
	s := canonjson.Scan(canonjson.AppendString(nil, device))
	return s.Value(), true
}
