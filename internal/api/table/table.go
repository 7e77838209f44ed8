// Package table writes customers as a table, in one of the formats of
// customers/export. Columns and properties are both in the order of their
// names, so a row is one walk over the two. The caller decides what is in a
// table, and for whom.
package table

import (
	"bytes"
	"cmp"
	"slices"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/cell"
	"trackway/internal/format/tracking"
)

// Table is a table that is being written. It is not safe for concurrent use.
type Table struct {
	layout

	row  *row
	rows int
}

// New returns a table in a format that [tracking.DecodeExport] knows. No two
// columns may be equal. Unless raw is set, texts that a spreadsheet would take
// for formulas are guarded in CSV.
func New(format string, raw bool, columns []tracking.Attribute) *Table {
	as := layouts[format]
	if format == "csv" && !raw {
		as = guardedCSV
	}
	return &Table{layout: as, row: newRow(columns)}
}

// Media returns the media type of a format, as the value of a header field.
func Media(format string) []string { return layouts[format].media }

// AppendHead appends what stands before the rows.
func (t *Table) AppendHead(b []byte) []byte { return t.open(b, t.row.columns) }

// AppendRow appends a customer.
func (t *Table) AppendRow(b []byte, p *trackway.Profile) []byte {
	if t.rows++; t.rows > 1 {
		b = append(b, t.between...)
	}
	return t.write(b, t.row.of(p))
}

// AppendEnd appends what comes after the rows.
func (t *Table) AppendEnd(b []byte) []byte { return append(b, t.end...) }

// layout is one way to write a table.
type layout struct {
	media   []string
	open    func(b []byte, columns []tracking.Attribute) []byte // what stands before the rows
	write   func(b []byte, cells [][]byte) []byte
	between string // rows
	end     string
}

// layouts are the formats of customers/export.
//
//	native_json  {"success":true,"fields":[{"id":"registered","type":"id"},{"property":"p","type":"property"}],"data":[["x",1]]}
//	table_json   {"success":true,"header":["registered","p"],"rows":[["x",1]]}
//	csv          RFC 4180, with a header; texts that a spreadsheet would take for a formula may be guarded
var layouts = map[string]layout{
	"native_json": {jsonType, openNative, appendRow, ",", "]}"},
	"table_json":  {jsonType, openTable, appendRow, ",", "]}"},
	"csv":         {csvType, appendHeader(asIs), appendRecord(asIs), "", ""},
}

var (
	jsonType   = []string{"application/json"}
	guardedCSV = layout{csvType, appendHeader(cell.Guard), appendRecord(cell.Guard), "", ""}
	asIs       = func(text string) string { return text }
)

// namesOf returns the names of the columns in a table that shows no types. A
// property with the name of an identifier gets the prefix "properties.", so
// that no two columns have the same name.
func namesOf(columns []tracking.Attribute) []string {
	names, taken := make([]string, len(columns)), make(map[string]bool, len(columns))
	for i, column := range columns {
		if column.Type == tracking.IDAttribute {
			names[i], taken[column.Name] = column.Name, true
		}
	}
	plain := func(i int) bool { return columns[i].Type == tracking.PropertyAttribute && !taken[columns[i].Name] }
	var collide []int
	for i := range columns {
		switch {
		case plain(i):
			names[i] = columns[i].Name
		case names[i] == "":
			collide = append(collide, i)
		}
	}
	for i := range columns {
		taken[names[i]] = true
	}
	for _, i := range collide {
		name := "properties." + columns[i].Name
		for taken[name] {
			name = "properties." + name
		}
		names[i], taken[name] = name, true
	}
	return names
}

func openNative(b []byte, columns []tracking.Attribute) []byte {
	b = append(b, `{"success":true,"fields":[`...)
	for i, column := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = canonjson.AppendString(append(b, '{'), column.Type) // the name's member is called like the type
		b = canonjson.AppendString(append(b, ':'), column.Name)
		b = canonjson.AppendString(append(b, `,"type":`...), column.Type)
		b = append(b, '}')
	}
	return append(b, `],"data":[`...)
}

func openTable(b []byte, columns []tracking.Attribute) []byte {
	b = append(b, `{"success":true,"header":[`...)
	for i, name := range namesOf(columns) {
		if i > 0 {
			b = append(b, ',')
		}
		b = canonjson.AppendString(b, name)
	}
	return append(b, `],"rows":[`...)
}

func appendRow(b []byte, cells [][]byte) []byte {
	return append(append(append(b, '['), bytes.Join(cells, []byte{','})...), ']')
}

// row finds a customer's value for each column. Columns and properties are both
// in the order of their names, so one walk over both is enough, without a
// search for each column.
type row struct {
	columns []tracking.Attribute
	byName  []int // places of the columns that are properties
	cells   [][]byte
}

func newRow(columns []tracking.Attribute) *row {
	r := &row{columns: columns, cells: make([][]byte, len(columns))}
	for i := range columns {
		if columns[i].Type == tracking.PropertyAttribute {
			r.byName = append(r.byName, i)
		}
	}
	slices.SortFunc(r.byName, func(a, b int) int { return cmp.Compare(columns[a].Name, columns[b].Name) })
	return r
}

// of returns the JSON values of a customer, and null for missing ones. They are
// valid until the next call.
func (r *row) of(p *trackway.Profile) [][]byte {
	for i, column := range r.columns {
		if r.cells[i] = null; column.Type == tracking.IDAttribute {
			r.cells[i] = canonjson.AppendID(nil, p.IDs, column.Name)
		}
	}
	left := p.Properties
	for _, i := range r.byName {
		for len(left) > 0 && left[0].Name < r.columns[i].Name {
			left = left[1:]
		}
		if len(left) > 0 && left[0].Name == r.columns[i].Name {
			r.cells[i] = left[0].Value
		}
	}
	return r.cells
}

var null = []byte("null")
