package api

import (
	"maps"
	"slices"
	"strconv"

	"trackway"
	"trackway/internal/api/permit"
	"trackway/internal/api/table"
	"trackway/internal/audit"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// export answers with a table of the project's customers. It has a row for each
// customer, and a column for each requested attribute that the key may read.
func (c *reading) export() error {
	format, raw, asked, refused := tracking.DecodeExport(c.body)
	if refused != nil {
		return refused
	}
	if err := c.audit.Add(c.entry(audit.DataExport)); err != nil {
		return err
	}
	return c.streamed(table.Media(format), func(s query.Snapshot, out *stream) (err error) {
		columns := asked
		if len(columns) == 0 {
			if columns, err = c.allColumns(s); err != nil {
				return err
			}
		}
		columns = slices.DeleteFunc(columns, func(a tracking.Attribute) bool { return !mayRead(c.grant.Key, a) })
		t := table.New(format, raw, columns)
		out.b = t.AppendHead(out.b)
		err = query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
			out.b = t.AppendRow(out.b, p)
			return out.flush()
		})
		out.b = t.AppendEnd(out.b)
		return err
	})
}

// maxColumns is how many columns a table may have, requested by name or not.
// Clients that track choose the names of properties, and anybody may track.
// Every row has a cell for each name.
const maxColumns = 1000

var errColumns = &trackway.Error{
	Code: trackway.Invalid, Field: "attributes", Msg: "Field 'attributes': expected, for customers have more than " + strconv.Itoa(maxColumns) +
		" different properties: name the columns.",
}

// allColumns are the project's identifiers and every property that any customer
// has, as far as the key may read them: a pass over all customers.
func (c *reading) allColumns(s query.Snapshot) ([]tracking.Attribute, error) {
	names := map[string]struct{}{}
	err := query.Profiles(c.r.Context(), s, c.grant.Project.Number, func(p *trackway.Profile) bool {
		for i := range p.Properties {
			if name := p.Properties[i].Name; permit.Get(c.grant.Key, name) {
				names[name] = struct{}{}
			}
		}
		return len(names) <= maxColumns
	})
	if len(names) > maxColumns {
		return nil, errColumns
	}
	var columns []tracking.Attribute
	for _, name := range slices.Concat(c.grant.Project.Hard, c.grant.Project.Soft) {
		columns = append(columns, tracking.Attribute{Type: tracking.IDAttribute, Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		columns = append(columns, tracking.Attribute{Type: tracking.PropertyAttribute, Name: name})
	}
	return columns, err
}
