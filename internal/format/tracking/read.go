package tracking

import (
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/value"
)

// maxCustomers is how many customers one request for erasure may name.
const maxCustomers = 1000

// EventsQuery is a request for events of one customer.
type EventsQuery struct {
	IDs        []trackway.Identifier // at least one
	Types      []string              // at least one
	Descending bool                  // the newest event first
	Limit      int                   // maximum number of events; 0: the client gave no limit
	Skip       int                   // events to skip
}

// Attribute names a requested attribute of a customer. Type is "property", "id"
// or "consent", and Name says which one. This server does not know any other
// type, and gives it no name.
type Attribute struct {
	Type string
	Name string
}

// The types of attribute that have a name.
const (
	PropertyAttribute = "property"
	IDAttribute       = "id"
	ConsentAttribute  = "consent" // the name is its category's id
)

// DecodeCustomer decodes a body that names a customer by one or more ids
// (customers/export-one, customers/anonymize). Strings are parts of body. As in
// the other functions, results that come with an error are meaningless.
func DecodeCustomer(body []byte) ([]trackway.Identifier, *trackway.Error) {
	q := readQuery(body)
	return q.customer(), q.err
}

// DecodeCustomers decodes the body of customers/anonymize_bulk: the ids of 1 to
// 1000 customers.
func DecodeCustomers(body []byte) ([][]trackway.Identifier, *trackway.Error) {
	q := readQuery(body)
	elements := q.array("customers", canonjson.Object, maxCustomers)
	customers := make([][]trackway.Identifier, 0, len(elements))
	for _, v := range elements {
		ids, err := DecodeCustomer(v.Raw)
		if err != nil {
			return nil, err
		}
		customers = append(customers, ids)
	}
	q.mustHold("customers", len(customers))
	return customers, q.err
}

// DecodeEvents decodes the body of customers/events under /data/. The order is
// ascending unless the body asks for "desc".
func DecodeEvents(body []byte) (EventsQuery, *trackway.Error) {
	q := readQuery(body)
	events := EventsQuery{
		IDs:        q.customer(),
		Types:      q.eventTypes(),
		Descending: q.choice("order", "asc", "desc") == "desc",
		Limit:      q.count("limit", 1),
		Skip:       q.count("skip", 0),
	}
	return events, q.err
}

// DecodeAttributes decodes the body of customers/attributes: the customer and
// the requested attributes, in order.
func DecodeAttributes(body []byte) ([]trackway.Identifier, []Attribute, *trackway.Error) {
	q := readQuery(body)
	ids, attributes := q.customer(), q.attributes()
	q.mustHold("attributes", len(attributes))
	return ids, attributes, q.err
}

// DecodeExport decodes the body of customers/export. format is "csv",
// "table_json" or "native_json". raw reports whether to leave texts unchanged
// even if a spreadsheet takes them for formulas; the default is to leave them
// unchanged. An empty attributes requests all columns. It is an error if the
// body contains attributes of unknown type, an attribute twice, or filters
// other than "all".
func DecodeExport(body []byte) (format string, raw bool, attributes []Attribute, err *trackway.Error) {
	q := readQuery(body)
	format = q.choice("format", "csv", "table_json", "native_json")
	if format == "" {
		q.fail(value.Required("format"))
	}
	q.choice("filter", "all")
	raw = q.flag("raw", true)
	attributes = q.attributes()
	unknown := func(a Attribute) bool { return a.Type != PropertyAttribute && a.Type != IDAttribute }
	if slices.ContainsFunc(attributes, unknown) {
		q.fail(value.Expected("attributes", "attributes of type property or id"))
	}
	if q.err != nil {
		return "", false, nil, q.err
	}
	seen := make(map[Attribute]bool, len(attributes))
	for _, a := range attributes {
		if seen[a] {
			q.fail(value.Expected("attributes", "each column once, got the "+a.Type+" '"+value.Shown(a.Name)+"' twice"))
			break
		}
		seen[a] = true
	}
	return format, raw, attributes, q.err
}

// query is a request for reading: the known members of its body. Its methods
// take fields; err keeps the first error of all.
type query struct {
	fields []field
	err    *trackway.Error
}

// field is a member of a request for reading.
type field struct {
	name  string
	value canonjson.Value
}

// isField reports whether any request for reading has this field. Others are
// not kept, since a body may have any number of them.
func isField(name string) bool {
	switch name {
	case idsField, "customers", "event_types", "order", "limit", "skip", "attributes", "format", "filter", "raw",
		"type", PropertyAttribute, IDAttribute, "category":
		return true
	}
	return false
}

func readQuery(body []byte) query {
	var q query
	s := canonjson.Scan(body)
	for name := range s.Members {
		if v := s.Value(); isField(name) {
			q.set(name, v)
		}
	}
	if s.End(); s.Bad() {
		return query{err: errJSON}
	}
	return q
}

// set adds a field. The last field of a name wins.
func (q *query) set(name string, v canonjson.Value) {
	for i := range q.fields {
		if q.fields[i].name == name {
			q.fields[i].value = v
			return
		}
	}
	q.fields = append(q.fields, field{name, v})
}

// get returns a field, or an absent value if the body has no such field.
func (q *query) get(name string) canonjson.Value {
	for i := range q.fields {
		if q.fields[i].name == name {
			return q.fields[i].value
		}
	}
	return canonjson.Value{}
}

func (q *query) fail(err *trackway.Error) {
	if q.err == nil {
		q.err = err
	}
}

// customer takes the ids of the customer that the request is about.
func (q *query) customer() []trackway.Identifier {
	var ids []trackway.Identifier
	if v := q.get(idsField); !v.Absent() {
		var err *trackway.Error
		d := decoder{Decoder: canonjson.Decoder{Scanner: canonjson.Scan(v.Raw)}}
		if ids, err = d.identifiers(); err != nil {
			q.fail(err)
		}
	}
	if len(ids) == 0 {
		q.fail(errNobody)
	}
	return ids
}

// array takes an array with at most limit elements, all of one kind.
func (q *query) array(field string, of canonjson.Kind, limit int) []canonjson.Value {
	v := q.get(field)
	if v.Absent() {
		return nil
	}
	if v.Kind != canonjson.Array {
		q.fail(value.Unexpected(field, "an array", v.Kind))
		return nil
	}
	const shortest = len(`{},`) // the shortest element of any array here
	elements := make([]canonjson.Value, 0, min(limit, len(v.Raw)/shortest))
	s := canonjson.Scan(v.Raw)
	for i := range s.Elements {
		element := s.Value()
		switch {
		case i == limit:
			q.fail(value.TooMany(field, limit, "elements"))
		case element.Kind != of:
			q.fail(value.Unexpected(field, of.String()+" as each element of the array", element.Kind))
		default:
			elements = append(elements, element)
			continue
		}
		break // ignores the rest: errors cost memory, too
	}
	if q.err != nil {
		return nil
	}
	return elements
}

// mustHold refuses an array that is absent or empty.
func (q *query) mustHold(field string, elements int) {
	switch {
	case q.get(field).Absent():
		q.fail(value.Required(field))
	case elements == 0:
		// "is required" would not help its sender.
		q.fail(sentence(field, "Field '"+field+"' is empty: expected at least one element."))
	}
}

const maxNames = 1000 // event types or attributes in one request

func (q *query) eventTypes() []string {
	elements := q.array("event_types", canonjson.String, maxNames)
	types := make([]string, 0, len(elements))
	for _, v := range elements {
		types = append(types, v.Text())
	}
	q.mustHold("event_types", len(types))
	return types
}

func (q *query) attributes() []Attribute {
	elements := q.array("attributes", canonjson.Object, maxNames)
	if len(elements) == 0 {
		return nil
	}
	attributes := make([]Attribute, 0, len(elements))
	for _, v := range elements {
		attributes = append(attributes, q.attribute(v.Raw))
	}
	return attributes
}

func (q *query) attribute(raw []byte) Attribute {
	inner := readQuery(raw)
	a := Attribute{Type: inner.text("type")}
	switch a.Type {
	case PropertyAttribute, IDAttribute:
		a.Name = inner.text(a.Type) // the member that holds the name is called like the type
	case ConsentAttribute:
		a.Name = inner.text("category")
	}
	if inner.err != nil {
		q.fail(sentence("attributes", "Field 'attributes': each needs a type, and a name under property, id or category."))
	}
	return a
}

// text takes a required string.
func (q *query) text(field string) string {
	v := q.get(field)
	if v.Kind != canonjson.String {
		q.fail(value.Required(field))
		return ""
	}
	return v.Text()
}

// choice takes an optional string that must be one of the options. It returns
// "" if the field is absent.
func (q *query) choice(field string, options ...string) string {
	v := q.get(field)
	if v.Absent() {
		return ""
	}
	if v.Kind == canonjson.String && slices.Contains(options, v.Text()) {
		return v.Text()
	}
	last := len(options) - 1
	words := strings.TrimPrefix(strings.Join(options[:last], ", ")+" or "+options[last], " or ")
	q.fail(value.Expected(field, words))
	return ""
}

// flag takes an optional true or false. It returns otherwise if the field is
// absent.
func (q *query) flag(field string, otherwise bool) bool {
	v := q.get(field)
	switch {
	case v.Absent():
		return otherwise
	case string(v.Raw) != "true" && string(v.Raw) != "false":
		q.fail(value.Expected(field, "true or false"))
	}
	return string(v.Raw) == "true"
}

// count takes an optional whole number that is at least least. It returns 0 if
// the field is absent.
func (q *query) count(field string, least int) int {
	v := q.get(field)
	if v.Absent() {
		return 0
	}
	n, err := strconv.ParseUint(string(v.Raw), 10, 31)
	if err != nil || int(n) < least {
		q.fail(value.Expected(field, "a whole number of at least "+strconv.Itoa(least)))
	}
	return int(n)
}
