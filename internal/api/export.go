package api

import (
	"maps"
	"slices"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/wire"
)

// export answers all customers of the project as a table: a row each, a column for each attribute asked for, as far as the key may
// read it.
func (c *call) export() error {
	format, columns, refused := wire.DecodeExport(c.body)
	if refused != nil {
		return refused
	}
	as := layouts[format]
	return c.withSnapshot(func(s query.Snapshot) (err error) {
		if len(columns) == 0 {
			if columns, err = c.allColumns(s); err != nil {
				return err
			}
		}
		columns = slices.DeleteFunc(columns, func(a wire.Attribute) bool { return !mayRead(c.grant.Key, a) })
		out := c.stream()
		out.media = as.media
		out.b = as.open(out.b, columns)
		first := true
		err = query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
			if !first {
				out.b = append(out.b, as.between...)
			}
			first = false
			out.b = as.row(out.b, p, columns)
			return out.flush()
		})
		if err != nil {
			return err
		}
		out.b = append(out.b, as.end...)
		return out.end()
	})
}

// allColumns are the project's identifiers and every property that any customer has: a pass over all customers.
func (c *call) allColumns(s query.Snapshot) ([]wire.Attribute, error) {
	names := map[string]struct{}{}
	err := query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
		for i := range p.Properties {
			names[p.Properties[i].Name] = struct{}{}
		}
		return true
	})
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
	row     func(b []byte, p *trackway.Profile, columns []wire.Attribute) []byte
	between string // rows
	end     string
}

// layouts are the formats of customers/export.
//
//	native_json  {"success":true,"fields":[{"id":"registered","type":"id"},{"property":"p","type":"property"}],"data":[["x",1]]}
//	table_json   {"success":true,"header":["registered","p"],"rows":[["x",1]]}
//	csv          RFC 4180, with a header
var layouts = map[string]layout{
	"native_json": {jsonType, openNative, appendRow, ",", "]}"},
	"table_json":  {jsonType, openTable, appendRow, ",", "]}"},
	"csv":         {csvType, appendHeader, appendRecord, "", ""},
}

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

func appendRow(b []byte, p *trackway.Profile, columns []wire.Attribute) []byte {
	b = append(b, '[')
	for i, column := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendValue(b, p, column)
	}
	return append(b, ']')
}
