package ask

import (
	"fmt"
	"net/url"
	"strconv"
)

// The number of rows in a list.
const (
	UsualRows  = 100
	MaxRows    = 1000
	maxSkipped = 10_000 // rows up to which pages are numbered
)

// List is the part of a list that a caller asks for.
type List struct {
	Page   int // from 1; 0: use Cursor
	Rows   int
	Newest bool // newest rows first
	Cursor string
}

// ListParameters are the parameters of a list.
var ListParameters = []string{"page", "rows", "order", "cursor"}

// ListOf parses the parameters of a list.
func ListOf(values url.Values) (l List, err error) {
	if l.Rows, err = Number(values, "rows", UsualRows, MaxRows); err != nil {
		return l, err
	}
	if l.Page, err = Number(values, "page", 1, maxSkipped); err != nil {
		return l, err
	}
	order, err := Choice(values, "order", "newest", "oldest")
	if err != nil {
		return l, err
	}
	l.Newest = order == "newest"
	switch {
	case values.Has("cursor") && values.Has("page"):
		return l, Invalid("page", "nothing where there is a cursor")
	case values.Has("cursor"):
		l.Page, l.Cursor = 0, values.Get("cursor")
	case l.Page*l.Rows > maxSkipped:
		return l, Invalid("page", fmt.Sprintf("at most %d with this many rows; farther on by 'cursor', which is the 'next' of an answer", maxSkipped/l.Rows))
	}
	return l, nil
}

// Skip returns how many rows come before the page.
func (l List) Skip() int { return max(l.Page-1, 0) * l.Rows }

// Reached returns an error if the deadline came before the page was reached.
func (l List) Reached(complete bool, found int) error {
	if complete || found > 0 || l.Page < 2 {
		return nil
	}
	return Invalid("page", "a page that can be reached in time; go on by 'cursor', which is the 'next' of an answer")
}

// AppendEnvelope appends the beginning of a list's answer, up to its rows. A
// negative number of records means unknown.
func (l List) AppendEnvelope(b []byte, records int64) []byte {
	number := func(name string, n int64, known bool) {
		b = append(b, name...)
		if b = append(b, "null"...); known {
			b = strconv.AppendInt(b[:len(b)-len("null")], n, 10)
		}
	}
	per := int64(l.Rows)
	number(`{"page":`, int64(l.Page), l.Page > 0)
	number(`,"total":`, (records+per-1)/per, records >= 0)
	number(`,"rowsperpage":`, per, true)
	number(`,"records":`, records, records >= 0)
	return append(b, `,"rows":[`...)
}

// AppendEnd appends the end of a list's answer.
func AppendEnd(b []byte, next string, complete bool) []byte {
	b = append(b, `],"next":`...)
	if next == "" {
		b = append(b, "null"...)
	} else {
		b = append(append(append(b, '"'), next...), '"')
	}
	b = strconv.AppendBool(append(b, `,"complete":`...), complete)
	return append(b, '}')
}
