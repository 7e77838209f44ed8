package query

import (
	"time"

	"trackway"
)

// Usage is what a project sent in some time. Only events count as stored and duplicate; refused are commands of any kind that
// were not valid. Calls over a rate limit are not looked at, so they are not among them.
type Usage struct {
	Stored    uint64
	Duplicate uint64
	Refused   uint64
}

// Processed is how many were looked at.
func (u Usage) Processed() uint64 { return u.Stored + u.Duplicate + u.Refused }

// Plus returns the sum of both.
func (u Usage) Plus(v Usage) Usage {
	return Usage{Stored: u.Stored + v.Stored, Duplicate: u.Duplicate + v.Duplicate, Refused: u.Refused + v.Refused}
}

// Day numbers the days of UTC, from 1970-01-01, which is 0.
type Day uint32

const secondsADay = 24 * 60 * 60

// DayOf returns the day that m lies in.
func DayOf(m trackway.Micros) Day {
	return Day(m / (secondsADay * 1e6)) //nolint:gosec // G115: times before 1970 are refused
}

// Time returns the beginning of the day.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsADay, 0).UTC() }
