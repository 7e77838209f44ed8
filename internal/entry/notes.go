package entry

import (
	"encoding/binary"

	"trackway"
)

// Notes keep with the state what a follower of the changes needs to go on
// elsewhere. Several servers may follow, and one of them at a time has the turn
// to write notes. Those that it sends after its turn have no effect.
type Notes struct {
	Turn    uint64              // that of the appender; 0: it takes the turn, and the next number
	Cursors []Cursor            // to set
	Notes   []trackway.Property // to set, in this order; an empty value removes the note

	Now uint64 // result: the turn in force afterwards; another one than Turn, unless that is 0: there was no effect
}

// Kind implements [Entry].
func (*Notes) Kind() Kind { return KindNotes }

func (e *Notes) append(b []byte) []byte {
	b = binary.AppendUvarint(b, e.Turn)
	b = appendList(b, e.Cursors, func(b []byte, c Cursor) []byte { return c.append(b) })
	return appendList(b, e.Notes, func(b []byte, n trackway.Property) []byte {
		return appendString(appendString(b, n.Name), string(n.Value))
	})
}

func (e *Notes) decode(r *reader) {
	const leastItem = 2 // two fields
	e.Turn = r.uvarint()
	e.Cursors = list(r, leastItem, func(r *reader) Cursor { return Cursor{r.string(), r.uvarint()} })
	e.Notes = list(r, leastItem, func(r *reader) trackway.Property {
		return trackway.Property{Name: r.string(), Value: []byte(r.string())}
	})
}
