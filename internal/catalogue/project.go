package catalogue

import "trackway"

// share is the room of a project.
type share struct{ types, properties int }

// shareOf splits a number of entries between types and properties.
func shareOf(entries int) share {
	const perType, leastTypes = 8, 4
	types := min(max(entries/perType, leastTypes), mostTypes)
	return share{types, min(max(entries-types, leastTypes), types*mostProperties)}
}

// project is what is known of a project.
type project struct {
	span

	types      table[*eventType]
	properties int // of all types
	room       share

	SkippedBefore uint64  // changes that were skipped before the project was first seen
	OtherTypes    float64 // events of types without a place
}

// eventType is what is known of a type of events.
type eventType struct {
	span

	Hours           hours
	properties      table[*property]
	OtherProperties float64 // events with properties without a place

	floor   rank // no weaker type had a property of a lower rank when they were compared last
	floorAt trackway.Micros
}

func newProject(room share, skipped uint64) *project {
	return &project{room: room, SkippedBefore: skipped}
}

// typeOf returns a type, or nil if it has no place.
func (p *project) typeOf(hash uint64, name string, at trackway.Micros, weight float64) *eventType {
	t, _ := p.types.find(hash, name, at, weight, 0, p.room.types, func(s span, _ uint64) *eventType {
		p.count() // it may have replaced another
		return &eventType{span: s}
	})
	return t
}

// count counts the properties again.
func (p *project) count() {
	p.properties = 0
	for _, t := range p.types.known {
		p.properties += len(t.properties.known)
	}
}

// propertyOf returns a property of a type, or nil if it has no place. base is
// the number of events of the type that were looked at before this one.
func (p *project) propertyOf(t *eventType, hash uint64, name string, at trackway.Micros, weight float64, base uint64) *property {
	if of := t.properties.known[name]; of != nil {
		return of
	}
	most := mostProperties
	if p.properties >= p.room.properties && len(t.properties.known) < most && nameable(name) && !p.spare(t, hash, at) {
		most = len(t.properties.known)
	}
	before := len(t.properties.known)
	of, _ := t.properties.find(hash, name, at, weight, base, most, func(s span, base uint64) *property { return &property{span: s, Base: base} })
	p.properties += len(t.properties.known) - before
	return of
}

// spare makes room for a new property of a type: the weakest type loses its
// weakest property, if both that type and that property have a lower rank. It
// reports whether there is room now.
func (p *project) spare(t *eventType, hash uint64, now trackway.Micros) bool {
	s, _ := t.properties.waited(hash, 0)
	s.note(now, 1)
	r := s.rank(now)
	if !r.above(t.floor) && now-t.floorAt < lookAgain {
		return false
	}
	weak, lowest := (*eventType)(nil), t.rank(now)
	for _, other := range p.types.known {
		if r := other.rank(now); other != t && len(other.properties.known) > 0 && r.compare(lowest) < 0 {
			weak, lowest = other, r
		}
	}
	t.floor, t.floorAt = rank{days: mostDays}, now
	if weak != nil {
		_, t.floor = weak.properties.weakest(now)
	}
	if !r.above(t.floor) {
		return false
	}
	p.drop(weak, now)
	return true
}

// drop removes the weakest property of a type. REQUIRES: it has one.
func (p *project) drop(t *eventType, now trackway.Micros) {
	name, _ := t.properties.weakest(now)
	delete(t.properties.known, name)
	p.properties--
}

// fit makes the project fit into its room.
func (p *project) fit(room share) {
	p.room = room
	for len(p.types.known) > room.types {
		name, _ := p.types.weakest(p.Last)
		delete(p.types.known, name)
	}
	p.count()
	for p.properties > room.properties {
		weak := (*eventType)(nil)
		for _, name := range p.types.names() {
			t := p.types.known[name]
			if len(t.properties.known) > 0 && (weak == nil || t.rank(p.Last).compare(weak.rank(p.Last)) < 0) {
				weak = t
			}
		}
		p.drop(weak, p.Last)
	}
}

func (p *project) eachProperty(do func(name string, of *property)) {
	for _, t := range p.types.known {
		for name, of := range t.properties.known {
			do(name, of)
		}
	}
}

const (
	anHour   = trackway.Micros(3600 * 1e6)
	hoursDay = 24
)

// hours counts the events of the last 24 hours.
type hours struct {
	Newest trackway.Micros   `json:"newest"` // hour
	Of     [hoursDay]float64 `json:"of"`     // by hour modulo 24
}

func (h *hours) add(at trackway.Micros, weight float64) {
	hour := at / anHour
	if hour <= h.Newest-hoursDay { // a clock was wrong, and is right again
		*h = hours{}
	}
	h.advance(hour)
	h.Of[hour%hoursDay] += weight
}

// advance drops the hours that are more than a day before hour.
func (h *hours) advance(hour trackway.Micros) {
	for next := max(h.Newest+1, hour-hoursDay+1); next <= hour; next++ {
		h.Of[next%hoursDay] = 0
	}
	h.Newest = max(h.Newest, hour)
}

// sum returns the events of the 24 hours that end with that of now.
func (h *hours) sum(now trackway.Micros) (n float64) {
	h.advance(now / anHour)
	for _, of := range h.Of {
		n += of
	}
	return n
}
