// Package permit says what a key may do and see: which commands, properties,
// identifiers and events. It decides by the permissions of the key alone.
package permit

import (
	"bytes"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/excerpt"
	"trackway/internal/query"
)

// Missing is the refusal of a call or a command because a permission is
// missing.
func Missing(p trackway.Permission) *trackway.Error {
	return &trackway.Error{Code: trackway.Forbidden, Msg: "Not authorized: this key does not have the permission " + string(p) + "."}
}

// Command returns why a key may not send a command, or nil if it may. The
// identifiers of a command are not restricted: a key that may set anything may
// say who is who.
func Command(key *trackway.Key, cmd *trackway.Command) *trackway.Error {
	needs := trackway.SetCustomers
	if cmd.Kind == trackway.AddEvent {
		needs = trackway.SetEvents
	}
	switch {
	case !key.May(needs):
		return Missing(needs)
	case !key.Restricted(needs):
		return nil
	case needs == trackway.SetEvents:
		return mayNotAdd(key, cmd.Type)
	}
	for i := range cmd.Properties {
		if name := cmd.Properties[i].Name; !key.MayName(needs, name) {
			return NotFor("properties", "set the property", name)
		}
	}
	return nil
}

func mayNotAdd(key *trackway.Key, eventType string) *trackway.Error {
	if key.MayName(trackway.SetEvents, eventType) {
		return nil
	}
	return NotFor("event_type", "add events of the type", eventType)
}

// NotFor is the refusal of a name that a key may not use. The name comes from
// the client, and is cut if it is long.
func NotFor(field, what, name string) *trackway.Error {
	return &trackway.Error{Code: trackway.Forbidden, Field: field, Msg: "Not authorized: this key may not " + what + " '" + excerpt.Of(name, 64) + "'."}
}

// Get reports whether a key may read a property or an identifier.
func Get(key *trackway.Key, name string) bool { return key.MayName(trackway.GetCustomers, name) }

// Visible returns the part of a customer that a key may read.
func Visible(key *trackway.Key, p *trackway.Profile) *trackway.Profile {
	if !key.Restricted(trackway.GetCustomers) {
		return p
	}
	seen := *p
	seen.IDs = slices.DeleteFunc(slices.Clone(p.IDs), func(id trackway.Identifier) bool { return !Get(key, id.Name) })
	seen.Properties = slices.DeleteFunc(slices.Clone(p.Properties), func(p trackway.DatedProperty) bool { return !Get(key, p.Name) })
	return &seen
}

// Shown returns the part of an event that a key may read. The record of a merge
// contains identifiers, of which Shown keeps those that the key may read. An
// event that a client sent under the same type cannot be distinguished from
// such a record, and is treated in the same way. Its other properties are not
// restricted.
func Shown(key *trackway.Key, e *trackway.Event) *trackway.Event {
	if e.Type != trackway.MergeType || key.May(trackway.GetCustomers) && !key.Restricted(trackway.GetCustomers) {
		return e
	}
	properties := canonjson.SplitObject(bytes.Clone(e.Properties))
	for i := range properties {
		switch p := &properties[i]; p.Name {
		case query.AbsorbedIDs, query.CauseIDs, query.SurvivorIDs:
			p.Value = readableIDs(key, p.Value)
		}
	}
	cut := *e
	cut.Properties = canonjson.AppendObject(nil, properties)
	return &cut
}

// readableIDs returns an object of identifiers without those that the key may
// not read. If ids is not an object, it returns an empty object.
func readableIDs(key *trackway.Key, ids []byte) []byte {
	if len(ids) == 0 || ids[0] != '{' {
		return []byte("{}")
	}
	hidden := func(p trackway.Property) bool { return !Get(key, p.Name) }
	return canonjson.AppendObject(nil, slices.DeleteFunc(canonjson.SplitObject(ids), hidden))
}

// Naming refuses a request that names a customer by identifiers that a
// restricted key may not read, because the answer would show whether there is
// such a customer. A key that may read no customers at all may use any
// identifiers, because otherwise it could name no customer.
func Naming(key *trackway.Key, ids []trackway.Identifier) error {
	if !key.Restricted(trackway.GetCustomers) {
		return nil
	}
	for _, id := range ids {
		if !Get(key, id.Name) {
			return NotFor("customer_ids", "name a customer by the identifier", id.Name)
		}
	}
	return nil
}

// Types returns the types of event to search for: those of the requested types
// that a key may read. Without types, all are requested. An empty result means
// all types. If ok is false, the key may read no event of these types.
func Types(key *trackway.Key, asked []string) (types []string, ok bool) {
	switch {
	case !key.May(trackway.GetEvents):
		return nil, false
	case !key.Restricted(trackway.GetEvents):
		return asked, true
	case len(asked) == 0:
		return key.Permissions[trackway.GetEvents], true
	}
	types = slices.DeleteFunc(slices.Clone(asked), func(name string) bool { return !key.MayName(trackway.GetEvents, name) })
	return types, len(types) > 0
}
