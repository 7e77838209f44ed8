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
	Created   uint64 // customers
	Absorbed  uint64 // customers; each left an event that records the merge, which is not among Stored
	Expired   uint64 // events that came in this time and were removed since, for they were too old
}

// Processed is how many were looked at.
func (u Usage) Processed() uint64 { return u.Stored + u.Duplicate + u.Refused }

// Plus returns the sum of both.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		Stored: u.Stored + v.Stored, Duplicate: u.Duplicate + v.Duplicate, Refused: u.Refused + v.Refused,
		Created: u.Created + v.Created, Absorbed: u.Absorbed + v.Absorbed, Expired: u.Expired + v.Expired,
	}
}

// Customers is how many customers these are: those created, without those absorbed.
func (u Usage) Customers() uint64 { return u.Created - u.Absorbed }

// Events is how many events readers find: those sent and a record of each merge, without what was too old.
func (u Usage) Events() uint64 { return u.Stored + u.Absorbed - u.Expired }

// Total returns what a project sent since the beginning. Cost: a step for each day.
func Total(s CountReader, project uint32) (total Usage, err error) {
	err = s.Usage(project, func(_ Day, u Usage) bool {
		total = total.Plus(u)
		return true
	})
	return total, err
}

// Day numbers the days of UTC, from 1970-01-01, which is 0.
type Day uint32

const secondsADay = 24 * 60 * 60

// DayOf returns the day that m lies in.
func DayOf(m trackway.Micros) Day {
	return Day(m / (secondsADay * 1e6))
}

// Time returns the beginning of the day.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsADay, 0).UTC() }
