// Package foreign reads the files that other vendors export, unchanged: it
// turns each line into commands. A row of a CSV file arrives as a JSON object
// of its columns.
//
// Each vendor has a file of its own that names the public description of its
// format. The package knows the form of a line. It does not read files
// (internal/feed), and package ingest decides what a command must have. It
// reads no clock: the same line always gives the same commands, so that a file
// that is imported twice is stored once. All functions are safe for concurrent
// use.
package foreign

import (
	"maps"
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
)

// Source describes the file that lines come from.
type Source struct {
	Project  *trackway.Project // the project that the commands are for, which names the identifiers
	Received trackway.Micros

	// AsOf is the time from which the properties of customers hold if their
	// lines have no time. For example, it is the time when the file was
	// written.
	AsOf trackway.Micros

	// EventType is the type of events whose lines have none. Only Bloomreach's
	// files need it.
	EventType string
}

// Decode returns the commands that a line becomes. There may be none. They
// refer to parts of the line, which must not be changed afterwards. An error
// refuses the whole line.
type Decode func(line []byte, from *Source) ([]trackway.Command, *trackway.Error)

// vendors maps each vendor to its function.
var vendors = map[string]Decode{
	"bloomreach":  decodeBloomreach,
	"mixpanel":    decodeMixpanel,
	"posthog":     decodePostHog,
	"rudderstack": decodeSegment,
	"segment":     decodeSegment,
}

// Of returns the function for a vendor's files, or nil if the vendor is
// unknown.
func Of(vendor string) Decode { return vendors[vendor] }

// Vendors lists the vendors that [Of] knows.
func Vendors() []string { return slices.Sorted(maps.Keys(vendors)) }

// NeedsType reports whether the files of a vendor may hold events without a
// type, see [Source.EventType].
func NeedsType(vendor string) bool { return vendor == "bloomreach" }

// row is one line while it is read.
type row struct {
	*Source

	commands []trackway.Command
	err      *trackway.Error // the first one
}

// refuse notes why the line is refused, unless a reason was noted before.
func (r *row) refuse(err *trackway.Error) {
	if r.err == nil {
		r.err = err
	}
}

// identified returns a command for the customer that ids name.
func (r *row) identified(kind trackway.Kind, ids *naming) trackway.Command {
	return trackway.Command{Kind: kind, IDs: slices.Clone(ids.all), Time: r.Received, Received: r.Received}
}

// update adds a command that sets properties of a customer, or only links its
// identifiers.
func (r *row) update(ids *naming, at trackway.Micros, properties []trackway.Property) {
	c := r.identified(trackway.UpdateCustomer, ids)
	c.Properties = slices.DeleteFunc(properties, isNull)
	c.Time, c.TimeGiven, c.Bytes = at, true, bytesOf(c.Properties)
	r.commands = append(r.commands, c)
}

// event adds a command that adds an event.
func (r *row) event(ids *naming, eventType string, at trackway.Micros, properties []trackway.Property) {
	c := r.identified(trackway.AddEvent, ids)
	c.Type, c.Properties = eventType, properties
	c.Time, c.TimeGiven, c.Bytes = at, true, len(eventType)+bytesOf(properties)
	r.commands = append(r.commands, c)
}

// withID returns the properties of an event and its message id, if there is
// one, so that two otherwise equal events are two.
func withID(properties []trackway.Property, id canonjson.Value) []trackway.Property {
	if id.Absent() || string(id.Raw) == `""` {
		return properties
	}
	d := canonjson.Decode(id.Raw)
	p := trackway.Property{Name: trackway.MessageID, Value: d.Canonical(d.Value())}
	at, found := slices.BinarySearchFunc(properties, p, func(a, b trackway.Property) int { return strings.Compare(a.Name, b.Name) })
	if found {
		properties[at] = p
		return properties
	}
	return slices.Insert(properties, at, p)
}

// isNull reports whether a property is null. An exported customer has null for
// unknown values.
func isNull(p trackway.Property) bool { return string(p.Value) == "null" }

// bytesOf returns the length of properties as a JSON object.
func bytesOf(properties []trackway.Property) int { return len(canonjson.AppendObject(nil, properties)) }

// finish returns the result for the line.
func (r *row) finish() ([]trackway.Command, *trackway.Error) {
	if r.err != nil {
		return nil, r.err
	}
	return r.commands, nil
}
