package ask

import (
	"fmt"
	"net/url"
	"strconv"
)

// How many rows a list has.
const (
	UsualRows  = 100
	MaxRows    = 1000
	maxSkipped = 10_000 // rows up to which pages have numbers
)

// List is what a list is asked for: which page, of how many rows, in which order.
type List struct {
	Page   int // from 1; 0: by Cursor
	Rows   int
	Newest bool // first
	Cursor string
}

// ListParameters are those of a list.
var ListParameters = []string{"page", "rows", "order", "cursor"}

// ListOf returns what the parameters say about a list.
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

// Reached returns an error where the deadline came before the page did.
func (l List) Reached(complete bool, found int) error {
	if complete || found > 0 || l.Page < 2 {
		return nil
	}
	return Invalid("page", "a page that can be reached in time; go on by 'cursor', which is the 'next' of an answer")
}

// AppendEnvelope appends the beginning of a list's answer up to its rows. records below 0 are not known.
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
