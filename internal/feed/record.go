package feed

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"trackway/internal/control"
	"trackway/internal/wire"
)

// record is one row of a file.
type record struct {
	line    int64            // in the file, from 1
	last    int64            // the last line of the row
	end     int64            // place behind it in the file's inflated text
	command []byte           // what is sent, without a line break
	row     func() []byte    // the row as JSON, for the file of those that were refused
	refused *control.Refusal // it was refused before it was sent
}

// records reads a file row by row; next returns [io.EOF] at the end. What a record holds stays valid.
type records interface {
	next() (record, error)
}

// ndjson reads a file that has a command on each line.
type ndjson struct {
	in   *input
	line int64
	at   int64
	slab []byte
}

func (r *ndjson) next() (record, error) {
	for {
		line, tooLong, err := r.readLine()
		if err != nil {
			return record{}, err
		}
		rec := record{line: r.line, last: r.line, end: r.at}
		if tooLong {
			rec.refused = &control.Refusal{Error: fmt.Sprintf("A line may have at most %d bytes.", control.MaxLine)}
			rec.row = func() []byte { return []byte("null") }
			return rec, nil
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		rec.command, rec.row = line, func() []byte { return jsonOf(line) }
		return rec, nil
	}
}

// readLine reads the next line into memory of its own. Of one that is too long nothing is kept.
func (r *ndjson) readLine() (line []byte, tooLong bool, err error) {
	const slabBytes = 256 << 10 // several lines share it
	start := len(r.slab)
	for {
		part, err := r.in.ReadSlice('\n')
		r.at += int64(len(part))
		if len(r.slab)-start+len(part) > control.MaxLine {
			r.slab, tooLong = r.slab[:start], true
		} else if !tooLong {
			if len(r.slab)+len(part) > cap(r.slab) {
				r.slab = append(make([]byte, 0, max(slabBytes, 2*(len(r.slab)-start+len(part)))), r.slab[start:]...)
				start = 0
			}
			r.slab = append(r.slab, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(r.slab) == start && !tooLong):
			return nil, false, err
		}
		r.line++
		return r.slab[start:len(r.slab):len(r.slab)], tooLong, nil
	}
}

// jsonOf returns a line as JSON: as it is, or as a text where it is none.
func jsonOf(line []byte) []byte {
	if json.Valid(line) {
		return line
	}
	text, err := json.Marshal(string(line))
	if err != nil {
		panic("bug: a text cannot be written as JSON: " + err.Error())
	}
	return text
}

// sheet reads a CSV file (RFC 4180) whose first row names the columns.
type sheet struct {
	in      *input
	csv     *csv.Reader
	base    int64 // place of the reader's beginning
	lines   int64 // before it
	first   int64 // line of the last row that was read
	last    int64 // its last line
	header  []string
	columns *columns
}

func newSheetReader(in *input, delimiter rune) *csv.Reader {
	r := csv.NewReader(in.Reader)
	r.Comma, r.ReuseRecord = delimiter, true
	return r
}

// read reads the cells of a row that is not longer than a line of NDJSON may be. A quote that is not closed takes all behind it
// into its cell, and where it seems to be closed there by the quote of another row, that one is no CSV: nobody can tell then
// which rows there are. Such an error is no [csv.ParseError].
func (s *sheet) read() ([]string, error) {
	start := s.csv.InputOffset()
	s.in.text.upto = s.base + start + control.MaxLine + 1
	cells, err := s.csv.Read()
	switch wrong, ok := errors.AsType[*csv.ParseError](err); {
	case s.csv.InputOffset()-start > control.MaxLine: // whatever the error is: the row may have been cut off
		return nil, fmt.Errorf("the row that begins in line %d has more than %d bytes: is a quote not closed?", s.last+1, control.MaxLine)
	case ok && wrong.Line > wrong.StartLine && !errors.Is(err, csv.ErrFieldCount):
		return nil, fmt.Errorf("the row that begins in line %d has a quote that is not closed", s.lines+int64(wrong.StartLine))
	case ok:
		s.first = s.lines + int64(wrong.StartLine)
	case err != nil:
		return nil, err
	default:
		line, _ := s.csv.FieldPos(0)
		s.first = s.lines + int64(line)
	}
	s.last = s.first
	for _, cell := range cells {
		s.last += int64(strings.Count(cell, "\n"))
	}
	return cells, err
}

func (s *sheet) next() (record, error) {
	cells, err := s.read()
	wrong, ok := errors.AsType[*csv.ParseError](err)
	if err != nil && !ok {
		return record{}, err
	}
	rec := record{line: s.first, last: s.last, end: s.base + s.csv.InputOffset()}
	if !ok {
		rec.row = s.named(cells)
		rec.command, rec.refused = s.columns.command(cells)
		return rec, nil
	}
	rec.refused = &control.Refusal{Error: fmt.Sprintf("The row is no CSV: %v.", wrong.Err)}
	if errors.Is(err, csv.ErrFieldCount) {
		rec.refused.Error = fmt.Sprintf("The row has %d cells, the first one has %d.", len(cells), len(s.header))
	}
	rec.row = listed(cells)
	return rec, nil
}

// named returns what makes an object of a row.
func (s *sheet) named(cells []string) func() []byte {
	own := make([]string, len(cells)) // parts of one text, which the reader does not use again
	copy(own, cells)
	return func() []byte {
		b := []byte{'{'}
		for i, cell := range own {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(wire.AppendString(b, s.header[i]), ':')
			b = wire.AppendString(b, cell)
		}
		return append(b, '}')
	}
}

// listed returns what makes an array of a row whose cells belong to no columns.
func listed(cells []string) func() []byte {
	b := []byte{'['}
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = wire.AppendString(b, cell)
	}
	b = append(b, ']')
	return func() []byte { return b }
}
