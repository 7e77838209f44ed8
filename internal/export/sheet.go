package export

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/cell"
	"trackway/internal/query"
)

// sheet is CSV (RFC 4180) with the names of columns that `trackway import`
// knows. The properties are one column of JSON, because their names are known
// only after the last row.
type sheet struct {
	w     *csv.Writer
	names []string // of identifiers
	row   []string
	b     []byte
}

func newSheet(w io.Writer, p *trackway.Project, customers bool) (*sheet, error) {
	s := &sheet{w: csv.NewWriter(w), names: slices.Concat(p.Hard, p.Soft)}
	s.row = append(s.row, "customer")
	for _, name := range s.names {
		s.row = append(s.row, "customer_ids."+name)
	}
	if customers {
		s.row = append(s.row, "created", "update_timestamp", "properties")
	} else {
		s.row = append(s.row, "event_type", "timestamp", "received", "properties")
	}
	return s, s.w.Write(s.row)
}

// Customer writes one row. It keeps only the latest of the times of the
// properties.
func (s *sheet) Customer(c *trackway.Profile) error {
	s.begin(c)
	updated := ""
	if at := latest(c); at != 0 {
		updated = s.seconds(at)
	}
	return s.end(s.seconds(c.Created), updated, string(canonjson.AppendObject(nil, query.Undated(c.Properties))))
}

// Event writes one row.
func (s *sheet) Event(of *trackway.Profile, e *trackway.Event) error {
	s.begin(of)
	return s.end(e.Type, s.seconds(e.Time), s.seconds(e.Received), string(object(e.Properties)))
}

// Close writes out what is still in memory.
func (s *sheet) Close() error {
	s.w.Flush()
	return s.w.Error()
}

func (s *sheet) begin(c *trackway.Profile) {
	s.row = append(s.row[:0], strconv.FormatUint(uint64(c.Customer), 10))
	for _, name := range s.names {
		s.row = append(s.row, s.id(c.IDs, name))
	}
}

// end completes the row. Clients choose identifiers and types of events, so it
// guards these: no spreadsheet may treat them as formulas. Numbers and JSON
// never begin like a formula.
func (s *sheet) end(cells ...string) error {
	row := append(s.row, cells...) // the next row starts with an empty buffer
	for i := range row {
		row[i] = cell.Guard(row[i])
	}
	return s.w.Write(row)
}

// id returns the value of the identifier called name. It returns an array if
// there are several values, if an import would read the value as an array, or
// if a CSV reader would change a two-character line break in it.
func (s *sheet) id(ids []trackway.Identifier, name string) string {
	first := slices.IndexFunc(ids, func(id trackway.Identifier) bool { return id.Name == name })
	if first < 0 {
		return ""
	}
	several := slices.ContainsFunc(ids[first+1:], func(id trackway.Identifier) bool { return id.Name == name })
	id := ids[first]
	switch {
	case !several && id.Value[0] != '[' && !strings.Contains(id.Value, "\r\n"):
		return id.Value
	case id.Hard:
		s.b = append(canonjson.AppendString(append(s.b[:0], '['), id.Value), ']')
	default:
		s.b = canonjson.AppendID(s.b[:0], ids, name)
	}
	return string(s.b)
}

func (s *sheet) seconds(m trackway.Micros) string {
	s.b = m.AppendSeconds(s.b[:0])
	return string(s.b)
}
