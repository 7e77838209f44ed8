package object

import (
	"fmt"
	"time"

	"trackway"
	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// table describes the rows of a table. Its fields are those that every
// destination has. Declared columns are not fields: they are made from the
// properties whenever an object is written.
type table struct {
	name    string
	fields  []field
	key     int // the field whose number determines the object: seq, changed or erasure
	columns *column.Set
	wide    int // bytes that the declared columns add to a row, besides their values
}

type field struct {
	name    string
	kind    column.Kind
	json    bool // a Text that is JSON
	few     bool // a Text with few different values
	rising  bool // a BigInt that rises from row to row
	nothing bool // may be NULL
}

// row has a value for each field of a table.
type row []column.Value

// The tables. columns is empty for all of them except events.
const (
	events = iota
	customers
	customerIDs
	customerMap
	erasures
	tables
)

func newTables(columns *column.Set) [tables]*table {
	none, err := column.NewSet(nil)
	if err != nil {
		panic("bug: no columns are refused: " + err.Error())
	}
	id, text := column.BigInt, column.Text
	return [tables]*table{
		events: {name: "events", columns: columns, key: 0, fields: []field{
			{name: "seq", kind: id, rising: true},
			{name: "project", kind: text, few: true},
			{name: "customer", kind: id},
			{name: "type", kind: text, few: true},
			{name: "at", kind: column.Timestamp},
			{name: "received_at", kind: column.Timestamp},
			{name: "properties", kind: text, json: true},
		}},
		customers: {name: "customers", columns: none, key: 4, fields: []field{
			{name: "customer", kind: id},
			{name: "project", kind: text, few: true},
			{name: "properties", kind: text, json: true},
			{name: "created_at", kind: column.Timestamp},
			{name: "changed", kind: id, rising: true},
			{name: "erased", kind: column.Boolean},
		}},
		customerIDs: {name: "customer_ids", columns: none, key: 3, fields: []field{
			{name: "customer", kind: id}, {name: "name", kind: text, few: true}, {name: "value", kind: text}, {name: "changed", kind: id, rising: true},
		}},
		customerMap: {name: "customer_map", columns: none, key: 2, fields: []field{
			{name: "customer", kind: id}, {name: "survivor", kind: id}, {name: "changed", kind: id, rising: true},
		}},
		erasures: {name: "erasures", columns: none, key: 0, fields: []field{
			{name: "erasure", kind: id},
			{name: "project", kind: text, few: true},
			{name: "customer", kind: id},
			{name: "asked_at", kind: column.Timestamp},
			{name: "done_at", kind: column.Timestamp, nothing: true},
		}},
	}
}

func (t *table) keyOf(r row) uint64 { return uint64(r[t.key].Int) }

// partOf returns the part of the table that a row belongs to, which is also the
// name of its folder. Events are grouped by the day on which they arrived
// (UTC), so that the objects of past days are final: a late event is in the
// object of the day of its arrival. The rows of other tables are grouped by
// their numbers.
func (t *table) partOf(r row) string {
	if t.name == "events" {
		return dayOf(trackway.Micros(r[5].Int))
	}
	return fmt.Sprintf("part=%06d", t.keyOf(r)/partNumbers)
}

const partNumbers = 1_000_000

// folderColumn is the column that readers see in the names of the folders of
// events.
const folderColumn = "dt"

func dayOf(received trackway.Micros) string {
	return folderColumn + "=" + received.Time().Format(time.DateOnly)
}

// weight estimates how many bytes a row takes in memory, and in an object
// before compression.
func (t *table) weight(r row) int {
	n := 8*len(r) + t.wide
	for i := range r {
		n += len(r[i].Text)
	}
	return n
}

func integer[N ~uint64](n N) column.Value {
	return column.Value{Kind: column.BigInt, Int: int64(n)}
}

func text(s string) column.Value { return column.Value{Kind: column.Text, Text: s} }

func moment(m trackway.Micros) column.Value {
	return column.Value{Kind: column.Timestamp, Int: int64(m)}
}

// eventRow appends the row of an event to dst[:0].
func eventRow(dst row, e *destination.Event) row {
	return append(dst[:0], integer(e.Seq), text(e.Project), integer(e.Customer), text(e.Type), moment(e.At), moment(e.Received), text(string(e.Properties)))
}

// eventOf is the inverse of eventRow.
func eventOf(r row) destination.Event {
	return destination.Event{
		Seq: uint64(r[0].Int), Project: r[1].Text, Customer: trackway.Customer(r[2].Int), Type: r[3].Text,
		At: trackway.Micros(r[4].Int), Received: trackway.Micros(r[5].Int), Properties: []byte(r[6].Text),
	}
}

// customerRows calls add with the rows of a customer. An absorbed customer has
// a row in customer_map only. The latest row of a customer in customers and
// customer_map says which of its identifiers are in force.
func customerRows(c *destination.Customer, add func(table int, r row)) {
	changed := integer(c.Changed)
	if c.Survivor != 0 {
		add(customerMap, row{integer(c.Customer), integer(c.Survivor), changed})
		return
	}
	erased := column.Value{Kind: column.Boolean}
	if c.Erased {
		erased.Int = 1
	}
	add(customers, row{integer(c.Customer), text(c.Project), text(string(c.Properties)), moment(c.Created), changed, erased})
	for _, id := range c.IDs {
		add(customerIDs, row{integer(c.Customer), text(id.Name), text(id.Value), changed})
	}
}

func erasureRow(e *destination.Erasure) row {
	done := column.Value{}
	if e.Done != 0 {
		done = moment(e.Done)
	}
	return row{integer(e.ID), text(e.Project), integer(e.Customer), moment(e.Asked), done}
}
