// Package erased decides what an erasure removes from events, and keeps the
// records of erasures. Until an erasure is done, its record lists what the
// files must still lose and whom destinations must still hear of; for a while
// afterwards it shows what was done. It names customers and events only by
// number.
package erased

import (
	"encoding/binary"
	"slices"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/store/format"
)

// Record describes an erasure.
type Record struct {
	Project uint32
	Asked   trackway.Micros
	Clean   trackway.Micros // when the files had lost what was erased; 0: not yet
	Done    trackway.Micros // when the destinations had, too; 0: not yet
	Change  uint64          // the last number of the transaction that erased
	Places  Places          // once the files are clean, only customers; once the erasure is done, only the erased one
}

// Customer returns who was erased, or 0 if nobody was or it is not known.
func (e *Record) Customer() trackway.Customer {
	if len(e.Places.Customers) == 0 {
		return 0
	}
	return e.Places.Customers[0]
}

// Places lists where in the two large tables the files may hold erased data.
// All other tables are searched completely.
type Places struct {
	// customers with the events on their timelines, now or earlier; the erased
	// one is first
	Customers []trackway.Customer
	Log       []entry.Range
	Anywhere  bool // the places are unknown, because the record could not be read

	known map[trackway.Customer]bool // set of Customers; nil until Add is called
}

// Nearby ranges of the log are joined, since a file holds more events than the
// gap between them. This also limits their number.
const (
	nearSeqs  = 1024
	maxRanges = 256
)

// Add adds an event and the customer on which it was recorded.
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

// Of returns the places with the erased customer first.
func (p *Places) Of(erased trackway.Customer) Places {
	others := slices.DeleteFunc(slices.Clone(p.Customers), func(c trackway.Customer) bool { return c == erased })
	return Places{Customers: append([]trackway.Customer{erased}, others...), Log: p.Log}
}

// join sorts the ranges and joins them until there are few.
func (p *Places) join() {
	for near := uint64(nearSeqs); ; near *= 2 {
		p.Log = joinRanges(p.Log, near)
		if len(p.Log) <= maxRanges {
			return
		}
	}
}

// Join sorts ranges and joins those that are near to each other.
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

// Append appends the encoding of a record.
func Append(b []byte, e Record) []byte {
	e.Places.join()
	b = binary.AppendUvarint(b, uint64(e.Project))
	b = format.AppendMicros(b, e.Asked)
	b = format.AppendMicros(b, e.Clean)
	b = format.AppendMicros(b, e.Done)
	b = binary.AppendUvarint(b, e.Change)
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

// Decode decodes a record.
func Decode(record []byte) (Record, error) {
	r := format.Reader{Rest: string(record)}
	e := Record{Project: uint32(r.Uvarint()), Asked: r.Micros(), Clean: r.Micros(), Done: r.Micros(), Change: r.Uvarint()}
	for n := r.Uvarint(); n > 0 && !r.Bad; n-- {
		e.Places.Customers = append(e.Places.Customers, trackway.Customer(r.Uvarint()))
	}
	for n := r.Uvarint(); n > 0 && !r.Bad; n-- {
		e.Places.Log = append(e.Places.Log, entry.Range{From: r.Uvarint(), To: r.Uvarint()})
	}
	return e, r.Err()
}
