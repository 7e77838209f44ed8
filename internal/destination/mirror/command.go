package mirror

import (
	"cmp"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
)

// maxPart bounds the properties in one command, in bytes, as long as a single
// one is not larger. A customer can have more than a request may hold.
const maxPart = 256 << 10

// command is one command of the tracking API.
type command struct {
	row    *row
	text   []byte // its JSON
	values secrets
}

// row is a row of a batch that has to be passed on. It points into the batch.
type row struct {
	event    *destination.Event    // or nil
	customer *destination.Customer // or nil
}

func (r *row) project() string {
	if r.event != nil {
		return r.event.Project
	}
	return r.customer.Project
}

// reject returns the reject of a row.
func (r *row) reject(reason string) destination.Reject {
	if r.event != nil {
		return destination.Reject{Number: r.event.Seq, Table: "events", Reason: reason}
	}
	return destination.Reject{Number: r.customer.Changed, Table: "customers", Reason: reason}
}

// rowsOf returns what a batch has to pass on: first the customers, so that
// every event finds its customer, then the events; one project after the other,
// because a request is about one. The records of merges are left out: the other
// side merges the same customers and keeps its own records.
//
// Absorbed customers need no command: the survivor's identifiers merge them.
// Customers without identifiers cannot be named. For erasures, see
// docs/destinations-mirror.md.
func rowsOf(b *destination.Batch) []row {
	rows := make([]row, 0, b.Rows())
	for i := range b.Customers {
		if c := &b.Customers[i]; c.Survivor == 0 && len(c.IDs) > 0 {
			rows = append(rows, row{customer: c})
		}
	}
	for i := range b.Events {
		if e := &b.Events[i]; e.Type != trackway.MergeType {
			rows = append(rows, row{event: e})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Compare(a.project(), b.project()) })
	return rows
}

// writer makes the commands of a batch. The first command about a customer has
// all their identifiers, which makes the other side know them. The rest only
// has one. That is equivalent, because commands arrive in order, and a
// customer's identifiers are the same everywhere in a batch.
type writer struct {
	known map[trackway.Customer]bool
}

// commands returns the commands of a row, or the reason why there are none.
func (w *writer) commands(r *row) ([]command, string) {
	if e := r.event; e != nil {
		if e.Holder == nil || len(e.Holder.IDs) == 0 {
			return nil, "the customer has no identifier: they are anonymous, or were erased"
		}
		b := w.begin("customers/events", e.Holder, len(e.Properties))
		b = canonjson.AppendString(append(b, `,"event_type":`...), e.Type)
		b = e.At.AppendSeconds(append(b, `,"timestamp":`...))
		b = append(append(b, `,"properties":`...), e.Properties...)
		return []command{{r, append(b, "}}"...), secrets{e.Holder.IDs, e.Properties}}}, ""
	}
	var all []command
	for _, part := range parts(r.customer.Properties) {
		b := append(w.begin("customers", r.customer, len(part)), `,"properties":`...)
		b = append(append(b, part...), "}}"...)
		all = append(all, command{r, b, secrets{r.customer.IDs, part}})
	}
	return all, ""
}

// begin begins a command about a customer, up to the identifiers.
func (w *writer) begin(name string, c *destination.Customer, size int) []byte {
	ids := c.IDs
	if w.known[c.Customer] {
		ids = ids[:1]
	}
	w.known[c.Customer] = true
	b := append(make([]byte, 0, size+512), `{"name":"`...)
	b = append(append(b, name...), `","data":{"customer_ids":`...)
	return canonjson.AppendIDs(b, ids)
}

// parts divides an object of properties into objects that are not too large.
func parts(properties []byte) [][]byte {
	if len(properties) <= maxPart {
		return [][]byte{properties}
	}
	var all [][]byte
	var some []trackway.Property
	size := 0
	for _, p := range canonjson.SplitObject(properties) {
		if n := len(p.Name) + len(p.Value); size+n > maxPart && len(some) > 0 {
			all = append(all, canonjson.AppendObject(nil, some))
			some, size = nil, 0
		}
		size += len(p.Name) + len(p.Value)
		some = append(some, p)
	}
	return append(all, canonjson.AppendObject(nil, some))
}
