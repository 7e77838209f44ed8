// Package erased says what an erasure takes out of events, and keeps the records of erasures. Its one idea: such a record is the
// schedule of what the files have yet to lose, and for a while tells what was done; it names customers and events by number only.
package erased

import (
	"encoding/binary"
	"slices"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/format"
)

// Record is an erasure.
type Record struct {
	Project uint32
	Asked   trackway.Micros
	Done    trackway.Micros // 0: not yet
	Places  Places          // none where it is done
}

// Places says where in the two large tables the files may hold what was erased; the others are looked at as a whole.
type Places struct {
	Customers []trackway.Customer // on whose timelines the events are or were; the first is who was erased
	Log       []entry.Range
	Anywhere  bool // it is not known: its record could not be read

	known map[trackway.Customer]bool // who is in Customers; nil until somebody is added
}

// Ranges of the log that are near to each other are made one, since a file holds more events than that; and there are never many.
const (
	nearSeqs  = 1024
	maxRanges = 256
)

// Add notes an event and the customer that it was recorded on.
func (p *Places) Add(seq uint64, c trackway.Customer) {
	if p.known == nil {
		p.known = make(map[trackway.Customer]bool)
		for _, c := range p.Customers {
			p.known[c] = true
		}
	}
	if !p.known[c] {
		p.known[c] = true
		p.Customers = append(p.Customers, c)
	}
	p.Log = append(p.Log, entry.Range{From: seq, To: seq})
	if len(p.Log) >= 2*maxRanges {
		p.join()
	}
}

// Of returns the places, with the customer who was erased as the first.
func (p *Places) Of(erased trackway.Customer) Places {
	others := slices.DeleteFunc(slices.Clone(p.Customers), func(c trackway.Customer) bool { return c == erased })
	return Places{Customers: append([]trackway.Customer{erased}, others...), Log: p.Log}
}

// join makes the ranges few and puts them in order.
func (p *Places) join() {
	for near := uint64(nearSeqs); ; near *= 2 {
		p.Log = joinRanges(p.Log, near)
		if len(p.Log) <= maxRanges {
			return
		}
	}
}

// Join makes one of ranges that are near to each other, and puts them in order.
func Join(ranges []entry.Range) []entry.Range { return joinRanges(ranges, nearSeqs) }

func joinRanges(ranges []entry.Range, near uint64) []entry.Range {
	slices.SortFunc(ranges, func(a, b entry.Range) int {
		if a.From < b.From {
			return -1
		}
		return 1
	})
	joined := ranges[:0]
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.From <= joined[n-1].To+near {
			joined[n-1].To = max(joined[n-1].To, r.To)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// Append writes a record.
func Append(b []byte, e Record) []byte {
	e.Places.join()
	b = binary.AppendUvarint(b, uint64(e.Project))
	b = format.AppendMicros(b, e.Asked)
	b = format.AppendMicros(b, e.Done)
	b = binary.AppendUvarint(b, uint64(len(e.Places.Customers)))
	for _, c := range e.Places.Customers {
		b = binary.AppendUvarint(b, uint64(c))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Places.Log)))
	for _, r := range e.Places.Log {
		b = binary.AppendUvarint(b, r.From)
		b = binary.AppendUvarint(b, r.To)
	}
	return b
}

// Decode reads a record.
func Decode(record []byte) (Record, error) {
	r := format.Reader{Rest: string(record)}
	e := Record{Project: uint32(r.Uvarint()), Asked: r.Micros(), Done: r.Micros()}
	for n := r.Uvarint(); n > 0 && !r.Bad; n-- {
		e.Places.Customers = append(e.Places.Customers, trackway.Customer(r.Uvarint()))
	}
	for n := r.Uvarint(); n > 0 && !r.Bad; n-- {
		e.Places.Log = append(e.Places.Log, entry.Range{From: r.Uvarint(), To: r.Uvarint()})
	}
	return e, r.Err()
}
