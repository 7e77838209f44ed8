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
	end     int64            // place after the row in the decompressed file
	command []byte           // what is sent, without a line break
	row     func() []byte    // the row as JSON, for the file of rejects; nil: the command
	text    string           // of a CSV file: the row as it is in the file
	refused *control.Refusal // the row was refused before it was sent
}

// reject returns the row in the form of the file of rejects.
func (r *record) reject(refused *control.Refusal) rejected {
	refused = cmp.Or(r.refused, refused) // the reason found here says more
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

// records reads a file row by row. next returns [io.EOF] at the end. The
// command of a record is valid until the next call.
type records interface {
	next() (record, error)
}

// ndjson reads a file with one command per line.
type ndjson struct {
	lines

	base  int64  // place in the file at which the reader began
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
		return fmt.Errorf("the file is a JSON array: expected %s on each line, as `jq -c '.[]'` writes them", what)
	case string(first) == "{":
		return fmt.Errorf("the file has objects over several lines: expected %s on each line, as `jq -c .` writes them", what)
	}
	return nil
}

// jsonOf returns a line as JSON: unchanged, or as a JSON text if it is not
// valid JSON.
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

	base    int64 // place in the file at which the reader began
	header  []string
	columns *columns // nil: a row becomes an object of its cells
	cells   *cells
}

// newSheet returns a sheet that reads from from. The header has to be read
// first.
func newSheet(from io.Reader, delimiter string) *sheet {
	return &sheet{csvReader: csvReader{lines: lines{in: bufio.NewReader(from)}, delimiter: []byte(delimiter)}}
}

// open reads the header and matches the mapping with it. If whole is set, rows
// are sent as objects of all their cells, which the server maps.
func (s *sheet) open(m *Mapping, whole bool) error {
	row, err := s.csvReader.next()
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty: expected a first row that names the columns")
	case err != nil:
		return fmt.Errorf("read the header: %w", err)
	case row.wrong != "":
		return fmt.Errorf("read the header: line %d is not valid CSV: %s", row.first, row.wrong)
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
		rec.refused = &control.Refusal{Error: "The row is not valid CSV: " + row.wrong + "."}
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

// listed returns a row whose cells do not fit the columns as an array.
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
