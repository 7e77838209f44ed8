package page

import (
	"encoding/base64"
	"encoding/binary"
	"strings"

	"trackway"
	"trackway/internal/query"
)

// Cursor is the position where the next page begins. It is opaque to clients
// and safe in a URL. The empty cursor means the beginning; in a result, it
// means the end. A cursor contains no filter: send it with the same question
// that returned it.
type Cursor string

// A cursor is base64 of one byte for its kind, and the position.
const (
	cursorCustomer   = 'c' // customer
	cursorIdentifier = 'i' // name, one zero byte, value
	cursorPlace      = 't' // time, sequence number
	cursorLog        = 'l' // sequence number
)

var errCursor = &trackway.Error{
	Code: trackway.Invalid, Field: "cursor", Reason: trackway.Expected, What: "the 'next' of an answer to the same question",
}

func newCursor(kind byte, numbers ...uint64) Cursor {
	b := []byte{kind}
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	return Cursor(base64.RawURLEncoding.EncodeToString(b))
}

// numbers parses a cursor of a given kind into its numbers. An empty cursor
// leaves them unchanged.
func (c Cursor) numbers(kind byte, into ...*uint64) error {
	if c == "" {
		return nil
	}
	b, err := c.decode(kind)
	if err != nil {
		return err
	}
	for _, n := range into {
		v, width := binary.Uvarint(b)
		if width <= 0 {
			return errCursor
		}
		*n, b = v, b[width:]
	}
	if len(b) > 0 {
		return errCursor
	}
	return nil
}

func (c Cursor) decode(kind byte) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(c))
	if err != nil || len(b) == 0 || b[0] != kind {
		return nil, errCursor
	}
	return b[1:], nil
}

func customerCursor(c trackway.Customer) Cursor { return newCursor(cursorCustomer, uint64(c)) }

func (c Cursor) customer() (trackway.Customer, error) {
	var n uint64
	err := c.numbers(cursorCustomer, &n)
	return trackway.Customer(n), err
}

func logCursor(seq uint64) Cursor { return newCursor(cursorLog, seq) }

func (c Cursor) log() (seq uint64, err error) {
	err = c.numbers(cursorLog, &seq)
	return seq, err
}

func placeCursor(p query.Place) Cursor {
	return newCursor(cursorPlace, uint64(p.Time), p.Seq)
}

func (c Cursor) place() (query.Place, error) {
	var at, seq uint64
	if err := c.numbers(cursorPlace, &at, &seq); err != nil {
		return query.Place{}, err
	}
	if at > uint64(trackway.MaxTime) {
		return query.Place{}, errCursor
	}
	return query.Place{Time: trackway.Micros(at), Seq: seq}, nil
}

func identifierCursor(name, value string) Cursor {
	return Cursor(base64.RawURLEncoding.EncodeToString([]byte(string(cursorIdentifier) + name + "\x00" + value)))
}

func (c Cursor) identifier() (name, value string, err error) {
	if c == "" {
		return "", "", nil
	}
	b, err := c.decode(cursorIdentifier)
	if err != nil {
		return "", "", err
	}
	name, value, found := strings.Cut(string(b), "\x00")
	if !found || name == "" {
		return "", "", errCursor
	}
	return name, value, nil
}
