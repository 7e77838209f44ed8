package entry

import "encoding/binary"

// Once is an entry that takes effect once, even if it is in a log several
// times: its appender did not learn what became of it, and appended it again.
type Once struct {
	Origin  [16]byte // the id of the server that appends it
	Counter uint64   // each entry of an origin has a higher one
	Entry   Entry    // of any other kind; it has no results if this entry is Late

	Again bool // result: it took effect before, and has the results of that time
	Late  bool // result: newer ones have displaced what was known of it; it had no effect now
}

// Kept is how many counters of an origin a machine remembers: the highest one,
// and those that are less than Kept below it. An entry with a lower one is
// late.
const Kept = 4096

// Kind implements [Entry].
func (*Once) Kind() Kind { return KindOnce }

func (e *Once) append(b []byte) []byte {
	b = binary.AppendUvarint(append(b, e.Origin[:]...), e.Counter)
	return e.Entry.append(append(b, byte(e.Entry.Kind())))
}

func (e *Once) decode(r *reader) {
	if len(r.rest) < len(e.Origin) {
		r.fail()
		return
	}
	r.rest = r.rest[copy(e.Origin[:], r.rest):]
	e.Counter = r.uvarint()
	if len(r.rest) == 0 {
		r.fail()
		return
	}
	kind := Kind(r.rest[0])
	r.rest = r.rest[1:]
	if kind == KindOnce {
		r.fail()
		return
	}
	if e.Entry = newEntry(kind); e.Entry == nil {
		r.fail()
		return
	}
	e.Entry.decode(r)
}
