package query

import (
	"time"

	"trackway"
)

// Usage is what a project sent in a period. Stored and Duplicate count events
// only; Refused counts invalid commands of any kind. Calls over a rate limit
// are not parsed, so they are not counted here.
type Usage struct {
	Stored    uint64
	Duplicate uint64
	Refused   uint64
	Created   uint64 // customers
	Absorbed  uint64 // customers; each left an event that records the merge, not counted in Stored
	Expired   uint64 // events received in this period and removed since because of their age
}

// Processed returns the number of commands that were processed.
func (u Usage) Processed() uint64 { return u.Stored + u.Duplicate + u.Refused }

// Plus returns the sum of both.
func (u Usage) Plus(v Usage) Usage {
	return Usage{
		Stored: u.Stored + v.Stored, Duplicate: u.Duplicate + v.Duplicate, Refused: u.Refused + v.Refused,
		Created: u.Created + v.Created, Absorbed: u.Absorbed + v.Absorbed, Expired: u.Expired + v.Expired,
	}
}

// Customers returns the number of customers: those created, without those
// absorbed.
func (u Usage) Customers() uint64 { return u.Created - u.Absorbed }

// Events returns how many events readers find: those that were sent and a
// record of each merge, without the expired ones.
func (u Usage) Events() uint64 { return u.Stored + u.Absorbed - u.Expired }

// Total returns what a project has sent in all. Cost: one step for each day.
func Total(s CountReader, project uint32) (total Usage, err error) {
	err = s.Usage(project, func(_ Day, u Usage) bool {
		total = total.Plus(u)
		return true
	})
	return total, err
}

// Day is the number of a day in UTC. 1970-01-01 is day 0.
type Day uint32

const secondsADay = 24 * 60 * 60

// DayOf returns the day of m.
func DayOf(m trackway.Micros) Day {
	return Day(m / (secondsADay * 1e6))
}

// Time returns the beginning of the day.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsADay, 0).UTC() }
