// Package totals defines the keys and records of a project's daily usage, which
// docs/format.md describes byte by byte, and adds to them.
package totals

import (
	"encoding/binary"

	"trackway/internal/query"
	"trackway/internal/store/format"
)

// Day identifies a project's total of one day.
type Day struct {
	Project uint32
	Day     query.Day
}

// AppendKey appends the key of a total.
func AppendKey(b []byte, u Day) []byte {
	return format.Key(b).Usage(u.Project, u.Day)
}

// Append appends the record of a total.
func Append(b []byte, u query.Usage) []byte {
	b = binary.AppendUvarint(b, u.Stored)
	b = binary.AppendUvarint(b, u.Duplicate)
	b = binary.AppendUvarint(b, u.Refused)
	b = binary.AppendUvarint(b, u.Created)
	b = binary.AppendUvarint(b, u.Absorbed)
	return binary.AppendUvarint(b, u.Expired)
}

// Decode decodes the record of a total.
func Decode(record []byte) (query.Usage, error) {
	r := format.Reader{Rest: string(record)}
	u := query.Usage{Stored: r.Uvarint(), Duplicate: r.Uvarint(), Refused: r.Uvarint()}
	u.Created, u.Absorbed, u.Expired = r.Uvarint(), r.Uvarint(), r.Uvarint()
	return u, r.Err()
}
