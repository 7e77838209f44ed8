package api

import (
	"slices"

	"trackway"
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
			if columns, err = table.Columns(c.r.Context(), s, c.grant.Project, c.grant.Key); err != nil {
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
