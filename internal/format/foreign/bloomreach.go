package foreign

import (
	"slices"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// decodeBloomreach reads a line of what Bloomreach Engagement (formerly
// Exponea) exports:
//
//   - customers as a table, in CSV or with an object a line: a column that has
//     the name of one of the project's identifiers holds it, and the others are
//     properties (documentation.bloomreach.com/engagement/reference/export-all-customers-2,
//     format csv);
//   - the same as native_json, all on one line: {"fields":[…],"data":[[…]]};
//   - events as a table: the same columns, and timestamp and event_type (or
//     type). In the tables of its BigQuery export, the type is the table's name
//     (…/engagement/docs/loomi-bigquery-data-schema) and [Source.EventType]
//     says it, internal_customer_id leads to the customer, and properties are
//     in an object;
//   - a customer with all events, as the data API returns one:
//     {"ids":{…},"properties":{…},"events":[{"type","timestamp","properties"}]}
//     (…/engagement/reference/export-a-customer-2);
//   - the tracking API's own commands, without their names: {"customer_ids":
//     {…},"event_type":…}.
func decodeBloomreach(line []byte, from *Source) ([]trackway.Command, *trackway.Error) {
	o, ok := read(line)
	if !ok {
		return nil, errObject
	}
	r := &row{Source: from}
	switch ids, fields := o.get("ids"), o.get("fields"); {
	case ids.Kind == canonjson.Object:
		r.bloomreachCustomer(o)
	case fields.Kind == canonjson.Array && o.get("data").Kind == canonjson.Array:
		r.bloomreachTable(fields, o.get("data"))
	default:
		r.bloomreachRow(o)
	}
	return r.finish()
}

// bloomreachCustomer reads a customer with all events.
func (r *row) bloomreachCustomer(o object) {
	ids := r.bloomreachIDs("ids", o)
	properties, _ := o.inner("properties")
	r.bloomreachCommand(ids, properties, canonjson.Value{}, "")
	events := o.get("events")
	if events.Kind != canonjson.Array {
		return
	}
	err := each(events, func(event object) {
		properties, _ := event.inner("properties")
		if r.err == nil {
			r.bloomreachCommand(ids, properties, event.get("timestamp"), event.text("type"))
		}
	})
	if err != nil {
		r.refuse(err)
	}
}

// bloomreachIDs returns the identifiers in a member that is an object.
func (r *row) bloomreachIDs(name string, o object) *naming {
	ids := &naming{project: r.Project}
	all, _ := o.inner(name)
	for _, m := range all {
		ids.add(m.name, name+"."+m.name, m.value)
	}
	return ids
}

// bloomreachTable reads the customers in a table.
func (r *row) bloomreachTable(fields, data canonjson.Value) {
	var columns []string
	err := each(fields, func(field object) {
		name := field.text("id")
		if name == "" {
			name = field.text("property")
		}
		columns = append(columns, name)
	})
	if err != nil {
		r.refuse(value.Expected("fields", "objects with id or property"))
		return
	}
	rows := canonjson.Scan(data.Raw)
	for range rows.Elements {
		line := rows.Value()
		if line.Kind != canonjson.Array || r.err != nil {
			r.refuse(value.Expected("data", "arrays"))
			continue
		}
		one := make(object, 0, len(columns))
		cells := canonjson.Scan(line.Raw)
		for i := range cells.Elements {
			if v := cells.Value(); i < len(columns) {
				one = append(one, member{columns[i], v})
			}
		}
		r.bloomreachCustomerRow(one)
	}
}

// bloomreachRow reads a row of a table, or a command of the tracking API. It is
// an event if it has a type.
func (r *row) bloomreachRow(o object) {
	at, eventType := o.get("timestamp"), o.text("event_type")
	rest := filled(o.without("event_type", "ingest_timestamp"))
	if eventType == "" {
		eventType = r.EventType
	}
	if eventType == "" && !at.Absent() { // customers may have a property type, but no timestamp
		eventType, rest = o.text("type"), rest.without("type")
	}
	if o.get("customer_ids").Kind == canonjson.Object {
		ids := r.bloomreachIDs("customer_ids", o)
		properties, _ := o.inner("properties")
		if eventType == "" {
			at = o.get("update_timestamp")
		}
		r.bloomreachCommand(ids, properties, at, eventType)
		return
	}
	if eventType == "" {
		r.bloomreachCustomerRow(rest)
		return
	}
	if at.Absent() {
		r.refuse(value.Required("timestamp"))
		return
	}
	ids, rest := r.bloomreachColumns(rest.without("timestamp"))
	r.bloomreachCommand(ids, rest, at, eventType)
}

// bloomreachCustomerRow reads the row of a customer.
func (r *row) bloomreachCustomerRow(o object) {
	ids, rest := r.bloomreachColumns(o.without("update_timestamp"))
	r.bloomreachCommand(ids, rest, o.get("update_timestamp"), "")
}

// internalID is Bloomreach's own number of a customer. It counts only if the
// project has an identifier of that name.
const internalID = "internal_customer_id"

// bloomreachColumns divides the columns into identifiers and properties. The
// members of an object of properties count as columns.
func (r *row) bloomreachColumns(o object) (*naming, object) {
	ids, rest := &naming{project: r.Project}, make(object, 0, len(o))
	for _, m := range o {
		name := strings.TrimSpace(m.name)
		inner, isObject := read(m.value.Raw)
		switch {
		case slices.Contains(r.Project.Hard, name) || slices.Contains(r.Project.Soft, name):
			ids.add(name, name, m.value)
		case name == "properties" && isObject:
			rest = append(rest, inner...)
		case name != internalID:
			rest = append(rest, m)
		}
	}
	return ids, rest
}

// bloomreachCommand adds an event, or the update of a customer if there is no
// type.
func (r *row) bloomreachCommand(ids *naming, o object, v canonjson.Value, eventType string) {
	at, field := r.AsOf, "update_timestamp"
	if eventType != "" {
		field = "timestamp"
	}
	if !v.Absent() {
		var err *trackway.Error
		if at, err = timeOf(field, v); err != nil {
			r.refuse(err)
			return
		}
	}
	properties, err := o.properties()
	if err == nil {
		err = ids.err
	}
	switch {
	case err != nil:
		r.refuse(err)
	case eventType == "":
		r.update(ids, at, properties)
	default:
		r.event(ids, eventType, at, properties)
	}
}
