package export

import (
	"io"

	"github.com/parquet-go/parquet-go"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// groupBytes and groupRows bound the memory of an export: a row group is
// written once it has this many bytes or rows. Readers skip whole groups by
// their smallest and largest times.
const (
	groupBytes = 64 << 20
	groupRows  = 1 << 17
)

// columns is a Parquet file. Identifiers are columns named customer_ids.NAME (a
// text; a list for soft ones), times are microseconds in UTC, and the
// properties are JSON text.
type columns struct {
	w      *parquet.GenericWriter[any]
	row    *parquet.RowBuilder
	at     map[string]int // place of each column
	ids    map[string]int // those of the identifiers' values, by name
	most   int            // bytes in a row group
	filled int            // and in this one
	rows   int
	buf    parquet.Row
	object []byte
}

func newColumns(w io.Writer, p *trackway.Project, customers bool) *columns {
	ids := parquet.Group{}
	for _, name := range p.Hard {
		ids[name] = parquet.Optional(parquet.String())
	}
	for _, name := range p.Soft {
		ids[name] = parquet.List(parquet.String())
	}
	at := parquet.Timestamp(parquet.Microsecond)
	group := parquet.Group{"customer": parquet.Uint(64), "customer_ids": ids, "properties": parquet.JSON()}
	if customers {
		group["created"], group["updated"] = at, parquet.Optional(at)
	} else {
		group["event_type"], group["timestamp"], group["received"] = parquet.Encoded(parquet.String(), &parquet.RLEDictionary), at, at
	}
	name := "event"
	if customers {
		name = "customer"
	}
	schema := parquet.NewSchema(name, group)
	c := &columns{
		w:   parquet.NewGenericWriter[any](w, schema, parquet.Compression(&parquet.Zstd)),
		row: parquet.NewRowBuilder(schema), most: groupBytes, at: map[string]int{}, ids: map[string]int{},
	}
	for i, path := range schema.Columns() {
		if path[0] == "customer_ids" {
			c.ids[path[1]] = i
		} else {
			c.at[path[0]] = i
		}
	}
	return c
}

// Customer writes one row. It keeps only the latest of the times of the
// properties.
func (c *columns) Customer(p *trackway.Profile) error {
	c.begin(p)
	c.row.Add(c.at["created"], micros(p.Created))
	if at := latest(p); at != 0 {
		c.row.Add(c.at["updated"], micros(at))
	}
	c.object = canonjson.AppendObject(c.object[:0], query.Undated(p.Properties))
	return c.end(c.object)
}

// Event writes one row.
func (c *columns) Event(of *trackway.Profile, e *trackway.Event) error {
	c.begin(of)
	c.row.Add(c.at["event_type"], c.text(e.Type))
	c.row.Add(c.at["timestamp"], micros(e.Time))
	c.row.Add(c.at["received"], micros(e.Received))
	return c.end(object(e.Properties))
}

// Close writes the last group and the footer, without which the file cannot be
// read.
func (c *columns) Close() error { return c.w.Close() }

func (c *columns) begin(p *trackway.Profile) {
	c.row.Reset()
	c.row.Add(c.at["customer"], parquet.Int64Value(int64(p.Customer)))
	for _, id := range p.IDs {
		if column, ok := c.ids[id.Name]; ok { // an identifier that is no longer configured has no column
			c.row.Add(column, c.text(id.Value))
		}
	}
}

func (c *columns) end(properties []byte) error {
	c.row.Add(c.at["properties"], parquet.ByteArrayValue(properties))
	c.filled += len(properties)
	c.buf = c.row.AppendRow(c.buf[:0])
	if _, err := c.w.WriteRows([]parquet.Row{c.buf}); err != nil {
		return err
	}
	if c.rows++; c.rows < groupRows && c.filled < c.most {
		return nil
	}
	c.rows, c.filled = 0, 0
	return c.w.Flush()
}

func (c *columns) text(s string) parquet.Value {
	c.filled += len(s)
	return parquet.ByteArrayValue([]byte(s))
}

func micros(m trackway.Micros) parquet.Value { return parquet.Int64Value(int64(m)) }
