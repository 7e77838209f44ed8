package feed

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"trackway/internal/canonjson"
	"trackway/internal/control"
)

// record is one row of a file.
type record struct {
	line    int64            // in the file, from 1
	last    int64            // the last line of the row
	end     int64            // place after it in the file's inflated text
	command []byte           // what is sent, without a line break
	row     func() []byte    // the row as JSON, for the file of those that were refused; nil: the command
	text    string           // of CSV, the row as it stands in the file
	refused *control.Refusal // it was refused before it was sent
}

// reject returns the row as the file of rejects has it.
func (r *record) reject(refused *control.Refusal) rejected {
	refused = cmp.Or(r.refused, refused) // what was wrong with it here says more
	one := rejected{Line: r.line, Field: refused.Field, Error: refused.Error}
	if r.row != nil {
		one.Row = r.row()
	} else {
		one.Row = jsonOf(r.command)
	}
	source := r.command
	if r.text != "" {
		source = []byte(r.text)
	}
	if !utf8.Valid(source) {
		one.Raw = source
	}
	return one
}

// records reads a file row by row; next returns [io.EOF] at the end. A record's
// command is valid until the next call.
type records interface {
	next() (record, error)
}

// ndjson reads a file that has a command on each line.
type ndjson struct {
	lines

	base  int64  // place in the file that the reader began at
	first bool   // no row was read yet
	what  string // a line holds
	text  []byte
}

func (r *ndjson) next() (record, error) {
	for {
		var err error
		if r.text, err = r.appendLine(r.text[:0]); err != nil {
			return record{}, err
		}
		rec := record{line: r.number, last: r.number, end: r.base + r.at}
		if len(r.text) > control.MaxLine {
			rec.refused, rec.row = longLine, func() []byte { return []byte("null") }
			return rec, nil
		}
		if rec.command = bytes.TrimSpace(r.text); len(rec.command) == 0 {
			continue
		}
		if r.first {
			if err := layout(rec.command, r.what); err != nil {
				return rec, err
			}
			r.first = false
		}
		return rec, nil
	}
}

// layout refuses a file if its first line shows that the file does not have
// one object per line. Otherwise each line would be refused, with a reason that
// does not help.
func layout(first []byte, what string) error {
	switch {
	case first[0] == '[':
		return fmt.Errorf("the file is a JSON array: expected %s a line, as `jq -c '.[]'` writes them", what)
	case string(first) == "{":
		return fmt.Errorf("the file has objects over several lines: expected %s a line, as `jq -c .` writes them", what)
	}
	return nil
}

// jsonOf returns a line as JSON: as it is, or as a text if it is not JSON.
func jsonOf(line []byte) []byte {
	if json.Valid(line) && utf8.Valid(line) {
		return line
	}
	text, err := json.Marshal(string(line))
	if err != nil {
		panic("bug: a text cannot be written as JSON: " + err.Error())
	}
	return text
}

// sheet reads a CSV file whose first row names the columns.
type sheet struct {
	csvReader

	base    int64 // place in the file that the reader began at
	header  []string
	columns *columns // nil: a row becomes an object of its cells
	cells   *cells
}

// newSheet returns a sheet of what from reads. Its header is to be read first.
func newSheet(from io.Reader, delimiter string) *sheet {
	return &sheet{csvReader: csvReader{lines: lines{in: bufio.NewReader(from)}, delimiter: []byte(delimiter)}}
}

// open reads the header and fits the mapping to it. If whole is set, rows are
// sent as objects of all cells, for the server to map.
func (s *sheet) open(m *Mapping, whole bool) error {
	row, err := s.csvReader.next()
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty: expected a first row that names the columns")
	case err != nil:
		return fmt.Errorf("read the header: %w", err)
	case row.wrong != "":
		return fmt.Errorf("read the header: line %d is no CSV: %s", row.first, row.wrong)
	}
	s.header = row.cells
	if whole {
		s.cells, err = m.cells(s.header, string(s.delimiter))
		return err
	}
	s.columns, err = m.columns(s.header, string(s.delimiter))
	return err
}

// unused returns the columns that become nothing.
func (s *sheet) unused() []string {
	if s.columns == nil {
		return nil
	}
	return s.columns.unused
}

func (s *sheet) next() (record, error) {
	row, err := s.csvReader.next()
	if err != nil {
		return record{}, err
	}
	rec := record{line: row.first, last: row.last, end: s.base + s.at, text: row.text}
	switch {
	case row.wrong != "":
		rec.refused = &control.Refusal{Error: "The row is no CSV: " + row.wrong + "."}
		rec.row = func() []byte { return canonjson.AppendString(nil, row.text) }
	case len(row.cells) != len(s.header):
		rec.refused = &control.Refusal{Error: fmt.Sprintf("The row has %d cells, the first one has %d.", len(row.cells), len(s.header))}
		rec.row = func() []byte { return listed(row.cells) }
	case s.cells != nil:
		rec.row = func() []byte { return s.named(row.cells) }
		rec.command, rec.refused = s.cells.object(row.cells)
	default:
		rec.row = func() []byte { return s.named(row.cells) }
		rec.command, rec.refused = s.columns.command(row.cells)
	}
	return rec, nil
}

// named returns a row as an object of its columns. If two columns have the same
// name, it returns an array.
func (s *sheet) named(cells []string) []byte {
	if s.columns != nil && s.columns.repeated {
		return listed(cells)
	}
	b := []byte{'{'}
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(canonjson.AppendString(b, s.header[i]), ':')
		b = canonjson.AppendString(b, cell)
	}
	return append(b, '}')
}

// listed returns a row whose cells belong to no columns as an array.
func listed(cells []string) []byte {
	b := []byte{'['}
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = canonjson.AppendString(b, cell)
	}
	return append(b, ']')
}
