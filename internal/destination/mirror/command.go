package mirror

import (
	"cmp"
	"slices"
	"strconv"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/destination"
)

// maxPart bounds the properties in one command, in bytes, unless a single
// property is larger. A customer can have more properties than a request may
// hold.
const maxPart = 256 << 10

// command is one command of the tracking API.
type command struct {
	row  *row
	text []byte // its JSON
}

// row is a row of a batch that has to be passed on. It points into the batch.
type row struct {
	event    *destination.Event    // or nil
	customer *destination.Customer // or nil
	soft     bool                  // only the customer's soft identifiers, which follow the hard ones of all customers
}

func (r *row) project() string {
	if r.event != nil {
		return r.event.Project
	}
	return r.customer.Project
}

// reject returns the reject of a row.
func (r *row) reject(reason string) destination.Reject {
	switch {
	case r.event != nil:
		return destination.Reject{Number: r.event.Seq, Table: "events", Reason: reason}
	case r.customer.Survivor != 0:
		return destination.Reject{Number: r.customer.Changed, Table: "customer_map", Reason: reason}
	}
	return destination.Reject{Number: r.customer.Changed, Table: "customers", Reason: reason}
}

// rank determines the order of the rows of a project. Rows of the same rank
// keep their order.
//
// Merges come first: an identifier may have moved on to another customer since,
// and must not take the absorbed customer along. Then come erasures, because
// another customer may have the identifiers by now. Hard identifiers come
// before soft ones. If two customers have hard identifiers, a soft identifier
// moves between them; otherwise it would merge them.
func (r *row) rank() int {
	switch {
	case r.event != nil:
		return 4
	case r.soft:
		return 3
	case r.customer.Survivor != 0:
		return 0
	case r.customer.Erased:
		return 1
	}
	return 2
}

// rowsOf returns what has to be passed on from a batch, one project after the
// other, because a request is about one project.
//
// It leaves out the records of merges, because the other side merges the same
// customers and keeps its own records. Without an identifier for our numbers
// (tagged), it also leaves out absorbed customers, because the survivor's
// identifiers merge them, and erased customers, because nobody can name them.
func rowsOf(b *destination.Batch, tagged bool) []row {
	rows := make([]row, 0, b.Rows())
	for i := range b.Customers {
		c := &b.Customers[i]
		if named := len(c.IDs) > 0; named || tagged && (c.Survivor != 0 || c.Erased) {
			rows = append(rows, row{customer: c})
			if n := hard(c.IDs); n > 0 && n < len(c.IDs) {
				rows = append(rows, row{customer: c, soft: true})
			}
		}
	}
	for i := range b.Events {
		if e := &b.Events[i]; e.Type != trackway.MergeType {
			rows = append(rows, row{event: e})
		}
	}
	slices.SortStableFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.project(), b.project()), a.rank()-b.rank()) })
	return rows
}

// hard returns the number of hard identifiers. They come first in the list.
func hard(ids []trackway.Identifier) int {
	if n := slices.IndexFunc(ids, func(id trackway.Identifier) bool { return !id.Hard }); n >= 0 {
		return n
	}
	return len(ids)
}

// writer makes commands.
type writer struct {
	tag   string // a soft identifier of the other side for our customers' numbers; may be empty
	store string // the store's id
}

// number returns the identifier that stands for a customer.
func (w *writer) number(c trackway.Customer) trackway.Identifier {
	return trackway.Identifier{Name: w.tag, Value: w.store + "-" + strconv.FormatUint(uint64(c), 10)}
}

// commands returns the commands of a row, or the reason why it has none. Do not
// call it for erased customers.
func (w *writer) commands(r *row) ([]command, string) {
	switch {
	case r.event != nil:
		return w.event(r)
	case r.customer.Survivor != 0:
		ids := []trackway.Identifier{w.number(r.customer.Survivor), w.number(r.customer.Customer)}
		return []command{{r, append(begin("customers", ids, 0), "}}"...)}}, ""
	}
	ids := r.customer.IDs
	if n := hard(ids); n > 0 && !r.soft {
		ids = ids[:n]
	}
	if w.tag != "" {
		ids = append(slices.Clip(ids), w.number(r.customer.Customer))
	}
	if r.soft {
		return []command{{r, append(begin("customers", ids, 0), "}}"...)}}, ""
	}
	var all []command
	for _, part := range parts(r.customer.Properties) {
		b := append(begin("customers", ids, len(part)), `,"properties":`...)
		all = append(all, command{r, append(append(b, part...), "}}"...)})
	}
	return all, ""
}

// event returns the command of an event. It names the customer by one
// identifier. The customers' own commands say which identifiers belong
// together, in the order in which they changed.
func (w *writer) event(r *row) ([]command, string) {
	e := r.event
	if e.Holder == nil || len(e.Holder.IDs) == 0 {
		return nil, "the customer has no identifier: they are anonymous, or were erased"
	}
	ids := e.Holder.IDs[:1] // a hard one, if there is one
	if w.tag != "" {
		ids = []trackway.Identifier{w.number(e.Holder.Customer)}
		if e.Customer != e.Holder.Customer {
			// The event may have been sent before the merge, for the absorbed
			// customer. To recognize it, the other side must first merge the
			// two.
			ids = append(ids, w.number(e.Customer))
		}
	}
	b := begin("customers/events", ids, len(e.Properties))
	b = canonjson.AppendString(append(b, `,"event_type":`...), e.Type)
	b = e.At.AppendSeconds(append(b, `,"timestamp":`...))
	b = append(append(b, `,"properties":`...), e.Properties...)
	return []command{{r, append(b, "}}"...)}}, ""
}

// begin begins a command, up to the identifiers.
func begin(name string, ids []trackway.Identifier, size int) []byte {
	b := append(make([]byte, 0, size+512), `{"name":"`...)
	b = append(append(b, name...), `","data":{"customer_ids":`...)
	return canonjson.AppendIDs(b, ids)
}

// parts divides an object of properties into objects of limited size.
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

// secrets returns the values of a command that a reason must not contain,
// because an erasure would not find them there.
func (c *command) secrets() (values []string) {
	who := c.row.customer
	if c.row.event != nil {
		who = c.row.event.Holder
	}
	properties := who.Properties
	if c.row.event != nil {
		properties = c.row.event.Properties
	}
	for _, id := range who.IDs {
		values = append(values, id.Value)
	}
	for _, p := range canonjson.SplitObject(properties) {
		value := string(p.Value)
		if value[0] == '"' {
			s := canonjson.Scan(p.Value)
			value = s.Value().Text()
		}
		values = append(values, value)
	}
	return values
}
