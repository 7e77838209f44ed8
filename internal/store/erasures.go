package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// The table of erasures is the schedule of what the files have yet to lose, and for a while tells what was done. It names
// customers and events by number only.

// maxErasures is how many erasures that are done are remembered.
const maxErasures = 1000

// erasure is a record of the table.
type erasure struct {
	project uint32
	asked   trackway.Micros
	done    trackway.Micros // 0: not yet
	places  places          // none where it is done
}

// places says where in the two large tables the files may hold what was erased; the others are looked at as a whole.
type places struct {
	customers []trackway.Customer // on whose timelines the events are or were; the first is who was erased
	log       []seqRange
}

// seqRange is events by sequence number, both ends included.
type seqRange struct{ from, to uint64 }

// Ranges of the log that are near to each other are made one, since a file holds more events than that; and there are never many.
const (
	nearSeqs  = 1024
	maxRanges = 256
)

func erasureKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{format.TableErasures}, id)
}

// add notes an event and the customer that it was recorded on.
func (p *places) add(seq uint64, c trackway.Customer) {
	if !slices.Contains(p.customers, c) {
		p.customers = append(p.customers, c)
	}
	p.log = append(p.log, seqRange{seq, seq})
	if len(p.log) >= 2*maxRanges {
		p.join()
	}
}

// of returns the places, with the customer who was erased as the first.
func (p *places) of(erased trackway.Customer) places {
	others := slices.DeleteFunc(slices.Clone(p.customers), func(c trackway.Customer) bool { return c == erased })
	return places{customers: append([]trackway.Customer{erased}, others...), log: p.log}
}

// join makes the ranges few and puts them in order.
func (p *places) join() {
	for near := uint64(nearSeqs); ; near *= 2 {
		p.log = joinRanges(p.log, near)
		if len(p.log) <= maxRanges {
			return
		}
	}
}

func joinRanges(ranges []seqRange, near uint64) []seqRange {
	slices.SortFunc(ranges, func(a, b seqRange) int {
		if a.from < b.from {
			return -1
		}
		return 1
	})
	joined := ranges[:0]
	for _, r := range ranges {
		if n := len(joined); n > 0 && r.from <= joined[n-1].to+near {
			joined[n-1].to = max(joined[n-1].to, r.to)
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

func appendErasure(b []byte, e erasure) []byte {
	e.places.join()
	b = binary.AppendUvarint(b, uint64(e.project))
	b = format.AppendMicros(b, e.asked)
	b = format.AppendMicros(b, e.done)
	b = binary.AppendUvarint(b, uint64(len(e.places.customers)))
	for _, c := range e.places.customers {
		b = binary.AppendUvarint(b, uint64(c))
	}
	b = binary.AppendUvarint(b, uint64(len(e.places.log)))
	for _, r := range e.places.log {
		b = binary.AppendUvarint(b, r.from)
		b = binary.AppendUvarint(b, r.to)
	}
	return b
}

func decodeErasure(record []byte) (erasure, error) {
	r := format.Reader{Rest: string(record)}
	e := erasure{project: uint32(r.Uvarint()), asked: r.Micros(), done: r.Micros()} //nolint:gosec // G115: written from a uint32
	for n := r.Uvarint(); n > 0 && !r.Bad; n-- {
		e.places.customers = append(e.places.customers, trackway.Customer(r.Uvarint()))
	}
	for n := r.Uvarint(); n > 0 && !r.Bad; n-- {
		e.places.log = append(e.places.log, seqRange{r.Uvarint(), r.Uvarint()})
	}
	return e, r.Err()
}

// erasures calls do for each erasure that is remembered, the oldest first.
func (s *Store) erasures(do func(id uint64, e erasure)) error {
	return scan(s.db, []byte{format.TableErasures}, func(key, record []byte) error {
		e, err := decodeErasure(record)
		if err != nil {
			return fmt.Errorf("erasure %d: %w", binary.BigEndian.Uint64(key), err)
		}
		do(binary.BigEndian.Uint64(key), e)
		return nil
	})
}

// findErasures finds what a process before this one has left to be cleaned up.
func (s *Store) findErasures() error {
	s.nextErasure = 1
	return s.erasures(func(id uint64, e erasure) {
		s.nextErasure = id + 1
		if e.done == 0 {
			s.pending[id] = e.asked
		}
	})
}

// Erasures lists a project's erasures, the newest first: all that are not done, and those of the last 1000 that are.
func (s *Store) Erasures(project uint32) ([]query.Erasure, error) {
	var list []query.Erasure
	err := s.erasures(func(id uint64, e erasure) {
		if e.project == project {
			list = append(list, query.Erasure{ID: id, Asked: e.asked, Done: e.done})
		}
	})
	slices.Reverse(list)
	return list, err
}

// pendingErasures returns how many erasures are not done, and when the oldest of them was asked for.
func (s *Store) pendingErasures() (n int, oldest trackway.Micros) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, asked := range s.pending {
		if oldest == 0 || asked < oldest {
			oldest = asked
		}
	}
	return len(s.pending), oldest
}
