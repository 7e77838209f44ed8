package table

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"trackway"
	"trackway/internal/api/permit"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// MaxColumns is how many columns a table may have, requested by name or not.
// Clients that track choose the names of properties, and anybody may track.
// Every row has a cell for each name.
const MaxColumns = 1000

var errColumns = &trackway.Error{
	Code: trackway.Invalid, Field: "attributes", Msg: "Field 'attributes': expected, for customers have more than " + strconv.Itoa(MaxColumns) +
		" different properties: name the columns.",
}

// Columns returns the project's identifiers and every property that any
// customer has, as far as the key may read them: a pass over all customers.
func Columns(ctx context.Context, s query.Snapshot, p *trackway.Project, key *trackway.Key) ([]tracking.Attribute, error) {
	names := map[string]struct{}{}
	err := query.Profiles(ctx, s, p.Number, func(c *trackway.Profile) bool {
		for i := range c.Properties {
			if name := c.Properties[i].Name; permit.Get(key, name) {
				names[name] = struct{}{}
			}
		}
		return len(names) <= MaxColumns
	})
	if len(names) > MaxColumns {
		return nil, errColumns
	}
	var columns []tracking.Attribute
	for _, name := range slices.Concat(p.Hard, p.Soft) {
		columns = append(columns, tracking.Attribute{Type: tracking.IDAttribute, Name: name})
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		columns = append(columns, tracking.Attribute{Type: tracking.PropertyAttribute, Name: name})
	}
	return columns, err
}
