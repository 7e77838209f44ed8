package postgres

import (
	"bytes"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"trackway/internal/destination"
	"trackway/internal/destination/column"
)

// eventSource passes events to COPY, in the order of [Sink.eventFields]. It
// implements [pgx.CopyFromSource].
type eventSource struct {
	rows    []destination.Event // those that are left
	set     *column.Set
	misfits *column.Misfits

	values []column.Value // of the declared columns; reused for each row
	row    []any          // the same
}

func (e *eventSource) Next() bool { return len(e.rows) > 0 }

func (e *eventSource) Err() error { return nil }

func (e *eventSource) Values() ([]any, error) {
	r := &e.rows[0]
	e.rows = e.rows[1:]
	properties := withoutZeros(r.Properties)
	e.row = append(e.row[:0], int64(r.Seq), r.Project, int64(r.Customer), withoutZero(r.Type), r.At.Time(), r.Received.Time(), properties)
	e.values = e.set.Values(e.values, r.Type, properties, e.misfits)
	for _, v := range e.values {
		e.row = append(e.row, parameter(v))
	}
	return e.row, nil
}

// replacement replaces U+0000, which PostgreSQL can hold neither in text nor in
// jsonb. Losing an invisible character is better than losing an event.
const replacement = "\uFFFD"

func withoutZero(text string) string {
	if strings.IndexByte(text, 0) < 0 {
		return text
	}
	return strings.ReplaceAll(text, "\x00", replacement)
}

// withoutZeros replaces U+0000 in the strings and names of canonical JSON,
// where it has only one escape. It returns an object without U+0000 unchanged.
func withoutZeros(object []byte) []byte {
	const zero = `\u0000`
	i := bytes.Index(object, []byte(zero))
	if i < 0 {
		return object
	}
	written := make([]byte, 0, len(object))
	for ; i >= 0; i = bytes.Index(object, []byte(zero)) {
		backslashes := 0 // before this one
		for backslashes < i && object[i-backslashes-1] == '\\' {
			backslashes++
		}
		written = append(written, object[:i]...)
		if backslashes%2 == 0 {
			written = append(written, replacement...)
		} else {
			written = append(written, zero...) // they escape this backslash
		}
		object = object[i+len(zero):]
	}
	return append(written, object...)
}

// parameter returns a value in the form that pgx accepts.
func parameter(v column.Value) any {
	switch v.Kind {
	case column.Text:
		return v.Text
	case column.BigInt:
		return v.Int
	case column.Double:
		return v.Double
	case column.Boolean:
		return v.Int != 0
	case column.Timestamp:
		return time.UnixMicro(v.Int).UTC()
	case column.Date:
		const day = 24 * 60 * 60
		return time.Unix(v.Int*day, 0).UTC()
	case column.Decimal:
		n := pgtype.Numeric{}
		if err := n.Scan(v.Text); err != nil {
			panic("bug: a decimal with characters other than digits")
		}
		return n
	default:
		return nil
	}
}

// customerSource passes the rows of the staged customers to COPY.
type customerSource struct {
	rows []destination.Customer // those that are left
	row  []any
}

func (c *customerSource) Next() bool { return len(c.rows) > 0 }

func (c *customerSource) Err() error { return nil }

func (c *customerSource) Values() ([]any, error) {
	r := &c.rows[0]
	c.rows = c.rows[1:]
	properties := withoutZeros(r.Properties)
	if len(properties) == 0 {
		properties = []byte("{}")
	}
	c.row = append(c.row[:0], int64(r.Customer), r.Project, properties, r.Created.Time(), int64(r.Changed), r.Erased, int64(r.Survivor))
	return c.row, nil
}

// idSource passes identifiers to COPY.
type idSource struct {
	rows []idRow
	row  []any
}

type idRow struct {
	customer    int64
	name, value string
}

func (i *idSource) Next() bool { return len(i.rows) > 0 }

func (i *idSource) Err() error { return nil }

func (i *idSource) Values() ([]any, error) {
	r := &i.rows[0]
	i.rows = i.rows[1:]
	i.row = append(i.row[:0], r.customer, withoutZero(r.name), withoutZero(r.value))
	return i.row, nil
}
