package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"trackway/internal/control"
)

// csvRow is a row of a CSV file.
type csvRow struct {
	text        string   // as it is in the file, without the line break after it
	cells       []string // substrings of text, if possible; nil if the row is broken
	wrong       string   // why the row is not valid CSV; empty if it is
	first, last int64    // its lines
}

// csvReader reads the rows of a CSV file (RFC 4180). Lines end as [lines]
// describes, and empty lines are skipped. It does not use encoding/csv, for
// three reasons: that package treats a lone CR as text, so a file with such
// line ends would be one row; it changes a CR LF inside a cell; and it does not
// return the text of a row that it refuses.
type csvReader struct {
	lines

	delimiter []byte
	text      []byte // of the row so far
	cells     []span
	open      int // where to look for the closing quote of the last cell
}

// span is a cell, as a range of the text of a row.
type span struct {
	from, to int
	quoted   bool
	doubled  bool // a quoted one has quotes in it
}

// next returns the next row, broken or not. Its error is [io.EOF], an error of
// the input, or an unclosed quote. After an unclosed quote nobody can tell
// where rows begin, because the quoted cell takes in the rows that follow.
func (r *csvReader) next() (csvRow, error) {
	r.text, r.cells = r.text[:0], r.cells[:0]
	row := csvRow{first: r.number + 1}
	for {
		began := len(r.text)
		var err error
		r.text, err = r.appendLine(r.text)
		row.last = r.number
		switch {
		case len(r.text) > control.MaxLine:
			return row, fmt.Errorf("the row that begins in line %d has more than %d bytes: is a quote not closed?", row.first, control.MaxLine)
		case errors.Is(err, io.EOF) && began > 0:
			row.wrong = "a quote is not closed"
		case err != nil:
			return row, err
		case began == 0 && len(trimBreak(r.text)) == 0:
			r.text, row.first = r.text[:0], r.number+1
			continue
		default:
			var whole bool
			if whole, row.wrong = r.split(began); !whole && row.wrong == "" {
				continue
			}
		}
		if row.wrong != "" && row.last > row.first {
			return row, fmt.Errorf("the row that begins in line %d has a quote that is not closed", row.first)
		}
		if row.text = string(trimBreak(r.text)); row.wrong == "" {
			row.cells = r.cut(row.text)
		}
		return row, nil
	}
}

// split finds the cells of the row in the line that was appended at began. It
// reports whether the row ends with that line, or why the row is not valid CSV.
func (r *csvReader) split(began int) (whole bool, wrong string) {
	end := len(trimBreak(r.text))
	at := 0
	if began > 0 { // within a quoted cell
		if at, whole, wrong = r.closed(end); at < 0 || whole || wrong != "" {
			return whole, wrong
		}
	}
	for {
		if at < end && r.text[at] == '"' {
			r.cells = append(r.cells, span{from: at + 1, quoted: true})
			r.open = at + 1
			if at, whole, wrong = r.closed(end); at < 0 || whole || wrong != "" {
				return whole, wrong
			}
			continue
		}
		to := bytes.Index(r.text[at:end], r.delimiter)
		if whole = to < 0; whole {
			to = end - at
		}
		if bytes.IndexByte(r.text[at:at+to], '"') >= 0 {
			return false, "a cell has a quote but does not begin with one"
		}
		r.cells = append(r.cells, span{from: at, to: at + to})
		if whole {
			return true, ""
		}
		at += to + len(r.delimiter)
	}
}

// closed looks for the quote that closes the last cell, and returns where the
// next cell begins. The result is -1 if there is no such quote yet, or if
// nothing follows the quote.
func (r *csvReader) closed(end int) (at int, whole bool, wrong string) {
	c := &r.cells[len(r.cells)-1]
	for {
		i := bytes.IndexByte(r.text[r.open:], '"')
		if i < 0 {
			r.open = len(r.text)
			return -1, false, ""
		}
		to := r.open + i
		rest := r.text[to+1 : end]
		switch {
		case len(rest) > 0 && rest[0] == '"':
			c.doubled = true
			r.open = to + 2
			continue
		case len(rest) == 0:
			c.to = to
			return -1, true, ""
		case !bytes.HasPrefix(rest, r.delimiter):
			return -1, false, "a cell has text after its closing quote"
		}
		c.to = to
		return to + 1 + len(r.delimiter), false, ""
	}
}

// cut returns the cells of a row.
func (r *csvReader) cut(text string) []string {
	cells := make([]string, len(r.cells))
	for i, c := range r.cells {
		if cells[i] = text[c.from:c.to]; c.doubled {
			cells[i] = strings.ReplaceAll(cells[i], `""`, `"`)
		}
	}
	return cells
}
