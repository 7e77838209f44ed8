package api

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"

	"trackway"
	"trackway/internal/cell"
	"trackway/internal/query"
	"trackway/internal/wire"
)

// export answers all customers of the project as a table: a row each, a column for each attribute asked for, as far as the key may
// read it.
func (c *call) export() error {
	format, raw, asked, refused := wire.DecodeExport(c.body)
	if refused != nil {
		return refused
	}
	as := layouts[format]
	if format == "csv" && raw {
		as = rawCSV
	}
	return c.streamed(as.media, func(s query.Snapshot, out *stream) (err error) {
		columns := asked
		if len(columns) == 0 {
			if columns, err = c.allColumns(s); err != nil {
				return err
			}
		}
		columns = slices.DeleteFunc(columns, func(a wire.Attribute) bool { return !mayRead(c.grant.Key, a) })
		out.b = as.open(out.b, columns)
		cells := newRow(columns)
		first := true
		err = query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
			if !first {
				out.b = append(out.b, as.between...)
			}
			first = false
			out.b = as.row(out.b, cells.of(p))
			return out.flush()
		})
		if err != nil {
			return err
		}
		out.b = append(out.b, as.end...)
		return nil
	})
}

// maxColumns is how many columns a table has at most, asked for by name or not: whoever tracks, which may be everybody, chooses the
// names of properties, and every row has a cell for each.
const maxColumns = 1000

var errColumns = &trackway.Error{
	Code: trackway.Invalid, Field: "attributes", Msg: "Field 'attributes': expected, for customers have more than " + strconv.Itoa(maxColumns) +
		" different properties: name the columns.",
}

// allColumns are the project's identifiers and every property that any customer has, as far as the key may read them: a pass over all
// customers.
func (c *call) allColumns(s query.Snapshot) ([]wire.Attribute, error) {
	names := map[string]struct{}{}
	err := query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
		for i := range p.Properties {
			if name := p.Properties[i].Name; mayGet(c.grant.Key, name) {
				names[name] = struct{}{}
			}
		}
		return len(names) <= maxColumns
	})
	if len(names) > maxColumns {
		return nil, errColumns
	}
	var columns []wire.Attribute
	for _, name := range slices.Concat(c.grant.Project.Hard, c.grant.Project.Soft) {
		columns = append(columns, wire.Attribute{Type: wire.IDAttribute, Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		columns = append(columns, wire.Attribute{Type: wire.PropertyAttribute, Name: name})
	}
	return columns, err
}

// layout is one way to write a table.
type layout struct {
	media   []string
	open    func(b []byte, columns []wire.Attribute) []byte // what stands before the rows
	row     func(b []byte, cells [][]byte) []byte
	between string // rows
	end     string
}

// layouts are the formats of customers/export.
//
//	native_json  {"success":true,"fields":[{"id":"registered","type":"id"},{"property":"p","type":"property"}],"data":[["x",1]]}
//	table_json   {"success":true,"header":["registered","p"],"rows":[["x",1]]}
//	csv          RFC 4180, with a header; texts that a spreadsheet would take for a formula are guarded
var layouts = map[string]layout{
	"native_json": {jsonType, openNative, appendRow, ",", "]}"},
	"table_json":  {jsonType, openTable, appendRow, ",", "]}"},
	"csv":         {csvType, appendHeader(cell.Guard), appendRecord(cell.Guard), "", ""},
}

var (
	rawCSV = layout{csvType, appendHeader(asIs), appendRecord(asIs), "", ""}
	asIs   = func(text string) string { return text }
)

func openNative(b []byte, columns []wire.Attribute) []byte {
	b = append(b, `{"success":true,"fields":[`...)
	for i, column := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, '{'), column.Type) // the member that holds the name is called like the type
		b = wire.AppendString(append(b, ':'), column.Name)
		b = wire.AppendString(append(b, `,"type":`...), column.Type)
		b = append(b, '}')
	}
	return append(b, `],"data":[`...)
}

func openTable(b []byte, columns []wire.Attribute) []byte {
	b = append(b, `{"success":true,"header":[`...)
	for i, column := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(b, column.Name)
	}
	return append(b, `],"rows":[`...)
}

func appendRow(b []byte, cells [][]byte) []byte {
	return append(append(append(b, '['), bytes.Join(cells, []byte{','})...), ']')
}

// row finds what a customer has in each column. Columns and properties are both in order of their names, so that it is one walk over
// the two, not a search for each column.
type row struct {
	columns []wire.Attribute
	byName  []int // places of the columns that are properties
	cells   [][]byte
}

func newRow(columns []wire.Attribute) *row {
	r := &row{columns: columns, cells: make([][]byte, len(columns))}
	for i := range columns {
		if columns[i].Type == wire.PropertyAttribute {
			r.byName = append(r.byName, i)
		}
	}
	slices.SortFunc(r.byName, func(a, b int) int { return cmp.Compare(columns[a].Name, columns[b].Name) })
	return r
}

// of returns the JSON values of a customer, null where there is none. They hold until the next call.
func (r *row) of(p *trackway.Profile) [][]byte {
	for i, column := range r.columns {
		if r.cells[i] = null; column.Type == wire.IDAttribute {
			r.cells[i] = wire.AppendID(nil, p.IDs, column.Name)
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
