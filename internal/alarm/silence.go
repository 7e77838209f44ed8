package alarm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"trackway/internal/config/alarming"
	"trackway/internal/query"
)

const hoursAWeek = 7 * 24

// series is the number of events of one subject in consecutive hours.
type series struct {
	first  query.Hour
	counts []uint32
	began  query.Hour // the first hour with an event; later than all without any
}

func newSeries(first, until query.Hour) *series {
	return &series{first: first, counts: make([]uint32, until-first), began: until}
}

func (s *series) add(h query.Hour, events uint64) {
	if h < s.first || int(h-s.first) >= len(s.counts) || events == 0 {
		return
	}
	n := &s.counts[h-s.first]
	*n = uint32(min(uint64(*n)+events, math.MaxUint32))
	s.began = min(s.began, h)
}

func (s *series) at(h query.Hour) uint32 {
	if h < s.first || int(h-s.first) >= len(s.counts) {
		return 0
	}
	return s.counts[h-s.first]
}

// judged is what the counts say about one hour.
type judged struct {
	unknown  bool // the past says too little, or the server did not run
	silent   bool
	events   uint32
	expected uint32 // the least in the same hour of past weeks
	weeks    int    // that are known
}

// calendar says which hours can be compared.
type calendar struct {
	zone *time.Location        // nil: unknown
	ran  func(query.Hour) bool // whether the server ran, for nearly all of the hour
}

// leastWeeks is how many past weeks have to be known, unless a rule looks at
// fewer: one week may be a holiday.
const leastWeeks = 2

// judge compares an hour with the same hour of past weeks. A holiday or a
// campaign in one of them changes nothing: the least of the weeks counts. Weeks
// before the subject's first event are unknown, and so are hours in which the
// server did not run.
func judge(r *alarming.Rule, s *series, h query.Hour, c calendar) judged {
	j := judged{events: s.at(h), expected: math.MaxUint32}
	if !c.ran(h) || c.twice(h) {
		j.unknown = true
		return j
	}
	for week := 1; week <= int(r.Weeks); week++ {
		if n, known := c.past(s, h, week); known {
			j.weeks++
			j.expected = min(j.expected, n)
		}
	}
	switch {
	case j.weeks < min(leastWeeks, int(r.Weeks)):
		j.unknown, j.expected = true, 0
	case j.expected < r.Least:
		j.unknown = true
	default:
		j.silent = uint64(j.events)*100 < uint64(j.expected)*uint64(r.Percent)
	}
	return j
}

// twice reports whether an hour is one of the two that have the same time of
// day, at the end of summer time. A daily job runs in one of them.
func (c calendar) twice(h query.Hour) bool {
	if c.zone == nil {
		return false
	}
	clock := func(h query.Hour) int { return h.Time().In(c.zone).Hour() }
	return clock(h) == clock(h-1) || clock(h) == clock(h+1)
}

// past returns how many events came in the same hour some weeks before.
//
// In a known zone, that is the hour with the same time of day, so that a change
// to or from summer time shifts nothing. In an unknown one, the change may have
// been between the two, and then the hours before and after are the same hour
// for the people whose events these are: the least of the three counts.
func (c calendar) past(s *series, h query.Hour, week int) (n uint32, known bool) {
	from, to := h-query.Hour(week*hoursAWeek)-1, h-query.Hour(week*hoursAWeek)+1
	if c.zone != nil {
		local := h.Time().In(c.zone)
		then := time.Date(local.Year(), local.Month(), local.Day()-7*week, local.Hour(), local.Minute(), 0, 0, c.zone)
		from = query.Hour(then.Unix() / 3600)
		to = from
		if then.Unix()%3600 != 0 { // the zone was shifted by half an hour
			to++
		}
	}
	n = math.MaxUint32
	for at := from; at <= to; at++ {
		if at <= s.began || !c.ran(at) { // the first hour may be a part of one
			return 0, false
		}
		n = min(n, s.at(at))
	}
	return n, true
}

// enough reports whether events of a running hour end a silence: as many as the
// hour that began it should have had, or one if that is not known any more.
func enough(events uint64, expected, percent uint32) bool {
	return events > 0 && events*100 >= uint64(expected)*uint64(percent)
}

// subjectOf names what a rule of silence is about. typ is empty for a project
// as a whole.
func subjectOf(project, typ string) string {
	if typ == "" {
		return project
	}
	return project + " / " + shown(typ)
}

// distinct is [subjectOf], with a mark if the type is too long to be shown as a
// whole. So two such types have two alarms.
func distinct(project, typ string) string {
	subject := subjectOf(project, typ)
	if len(typ) <= mostShown {
		return subject
	}
	const bytes = 4
	sum := sha256.Sum256([]byte(typ))
	return subject + " (" + hex.EncodeToString(sum[:bytes]) + ")"
}

// silenceText says what is wrong.
func silenceText(project, typ string, h query.Hour, j judged, zone *time.Location) string {
	what := "events"
	if typ != "" {
		what = "events of type " + shown(typ)
	}
	if zone == nil {
		zone = time.UTC
	}
	from := h.Time().In(zone)
	return fmt.Sprintf("Project %s got %d %s from %s to %s. In the same hour of the last %d weeks, it got at least %d.",
		project, j.events, what, from.Format("2006-01-02 15:04"), from.Add(time.Hour).Format("15:04 MST"), j.weeks, j.expected)
}
