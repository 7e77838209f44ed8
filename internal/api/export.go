package api

import (
	"maps"
	"slices"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/wire"
)

// export answers all customers of the project as a table: a row each, a column for each attribute asked for.
func (c *call) export() error {
	format, columns, refused := wire.DecodeExport(c.body)
	if refused != nil {
		return refused
	}
	if format != "native_json" {
		return &trackway.Error{Code: trackway.Invalid, Field: "format", Msg: "Field 'format': this server exports native_json only."}
	}
	return c.withSnapshot(func(s query.Snapshot) (err error) {
		if len(columns) == 0 {
			if columns, err = c.allColumns(s); err != nil {
				return err
			}
		}
		out := c.stream()
		out.b = appendFields(append(out.b, `{"success":true,"fields":[`...), columns)
		out.b = append(out.b, `],"data":[`...)
		first := true
		err = query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
			if !first {
				out.b = append(out.b, ',')
			}
			first = false
			out.b = appendRow(out.b, p, columns)
			return out.flush()
		})
		if err != nil {
			return err
		}
		out.b = append(out.b, "]}"...)
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

// appendFields appends the heading: {"id":"registered","type":"id"},{"property":"p","type":"property"}.
func appendFields(b []byte, columns []wire.Attribute) []byte {
	for i, column := range columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(append(b, '{'), column.Type) // the member that holds the name is called like the type
		b = wire.AppendString(append(b, ':'), column.Name)
		b = wire.AppendString(append(b, `,"type":`...), column.Type)
		b = append(b, '}')
	}
	return b
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
