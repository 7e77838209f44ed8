package verify

import (
	"cmp"
	"slices"
	"time"

	"trackway"
)

// Kind says what is wrong with an event of a destination.
type Kind string

// The kinds.
const (
	Missing   Kind = "missing"   // it is not there
	Doubled   Kind = "doubled"   // the destination has it more than once; each further occurrence is one finding
	Different Kind = "different" // it has another content
	Foreign   Kind = "foreign"   // the log has no such event, and did not have one that has expired
)

// The bounds of a report. Findings beyond them are only counted.
const (
	mostFindings = 1000
	mostSums     = 20_000
	otherTypes   = "(others)" // stands for all days and types beyond mostSums
)

// Finding is an event that is not as it should be.
type Finding struct {
	Seq    uint64          `json:"seq"`
	Kind   Kind            `json:"kind"`
	Type   string          `json:"type"`
	At     trackway.Micros `json:"at"` // in microseconds
	Fields []string        `json:"fields,omitempty"`
}

// Wrong holds the numbers of findings by kind.
type Wrong struct {
	Missing   uint64 `json:"missing"`
	Doubled   uint64 `json:"doubled"`
	Different uint64 `json:"different"`
	Foreign   uint64 `json:"foreign"`
}

// Counts are numbers of events.
type Counts struct {
	Wrong
	Log        uint64 `json:"log"`        // in the log, after filters
	Found      uint64 `json:"found"`      // in the destination
	Rejected   uint64 `json:"rejected"`   // missing, because the destination has rejected them
	Expired    uint64 `json:"expired"`    // still in the destination, but expired here
	Pending    uint64 `json:"pending"`    // different, because an erasure has not reached the destination yet
	Unreadable uint64 `json:"unreadable"` // in the destination, but damaged here
}

// Sum holds the counts of a day and a type. The day is that of the event's own
// time, in UTC.
type Sum struct {
	Day  string `json:"day"`
	Type string `json:"type"`
	Log  uint64 `json:"log"`
	Wrong
}

// Report is the result of a comparison. It contains no values of properties.
type Report struct {
	After   uint64 `json:"after"`
	Through uint64 `json:"through"`
	Counts
	Findings []Finding `json:"findings"` // the first thousand
	Sums     []Sum     `json:"sums"`     // by day and type
	Mended   int       `json:"mended"`   // parts of the log that were written again
	Left     uint64    `json:"left"`     // findings after that

	sums map[[2]string]*Sum
}

// Problems returns the number of findings, including those beyond the list.
func (w *Wrong) Problems() uint64 { return w.Missing + w.Doubled + w.Different + w.Foreign }

// Fine reports whether the destination has what it should have, possibly after
// mending.
func (r *Report) Fine() bool {
	if r.Mended > 0 {
		return r.Left == 0
	}
	return r.Problems() == 0
}

// of returns the counter of a kind.
func (w *Wrong) of(k Kind) *uint64 {
	switch k {
	case Missing:
		return &w.Missing
	case Doubled:
		return &w.Doubled
	case Different:
		return &w.Different
	default:
		return &w.Foreign
	}
}

// note counts a finding, and lists it if there is room.
func (r *Report) note(f Finding) {
	*r.of(f.Kind)++
	*r.sum(f.At, f.Type).of(f.Kind)++
	if len(r.Findings) < mostFindings {
		r.Findings = append(r.Findings, f)
	}
}

// sum returns the sum of a day and a type.
func (r *Report) sum(at trackway.Micros, typ string) *Sum {
	if r.sums == nil {
		r.sums = make(map[[2]string]*Sum)
	}
	key := [2]string{at.Time().UTC().Format(time.DateOnly), typ}
	s, known := r.sums[key]
	if !known && len(r.sums) >= mostSums {
		key = [2]string{"", otherTypes}
		s, known = r.sums[key]
	}
	if !known {
		s = &Sum{Day: key[0], Type: key[1]}
		r.sums[key] = s
	}
	return s
}

// sort puts the findings and the sums in order.
func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, s := range r.sums {
		r.Sums = append(r.Sums, *s)
	}
	slices.SortFunc(r.Sums, func(a, b Sum) int { return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Type, b.Type)) })
}
