package page

import (
	"context"
	"time"

	"trackway"
	"trackway/internal/query"
)

// Interval is the interval over which counts are summed.
type Interval uint8

// The intervals, in UTC.
const (
	Hourly Interval = iota + 1
	Daily
	Monthly
)

// start returns the beginning of the interval that h lies in.
func (i Interval) start(h query.Hour) query.Hour {
	at := h.Time()
	switch i {
	case Daily:
		h -= query.Hour(at.Hour())
	case Monthly:
		h = query.HourOf(trackway.MicrosOf(time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)))
	}
	return h
}

// Sum is the number of events of a type in an interval.
type Sum struct {
	Start query.Hour
	Type  string
}

// Sums adds up the counts in r by interval. If there are more than most sums,
// it stops and sets full. If ctx ends, it returns the cause.
func Sums(
	ctx context.Context, s query.CountReader, project uint32, r query.CountRange, interval Interval, most int,
) (sums map[Sum]uint64, full bool, err error) {
	sums = make(map[Sum]uint64)
	var steps int
	err = s.Counts(project, r, func(c query.Count) bool {
		sums[Sum{interval.start(c.Hour), c.Type}] += c.Events
		full = len(sums) > most
		steps++
		return !full && (steps%checkEvery != 0 || ctx.Err() == nil)
	})
	if err == nil && !full {
		err = context.Cause(ctx)
	}
	return sums, full, err
}
