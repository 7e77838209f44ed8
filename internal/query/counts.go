package query

import (
	"time"

	"trackway"
)

// MaxTypes is how many types of event are counted by name for a project. Those that come later are counted together, so that
// random types do not fill memory.
const MaxTypes = 1000

// By says which time of an event counts.
type By uint8

// The times.
const (
	ByTime     By = iota + 1 // when it happened: counts of any hour may still change
	ByReceived               // when this server received it: hours that have passed are final
)

// Hour numbers the hours of UTC, from the first of 1970-01-01, which is 0.
type Hour uint32

const secondsAnHour = 60 * 60

// HourOf returns the hour that m lies in.
func HourOf(m trackway.Micros) Hour {
	return Hour(m / (secondsAnHour * 1e6))
}

// Time returns the beginning of the hour.
func (h Hour) Time() time.Time { return time.Unix(int64(h)*secondsAnHour, 0).UTC() }

// CountRange is some of the counts of a project.
type CountRange struct {
	By           By
	Type         string // empty: all
	Since, Until Hour   // Since ≤ hour < Until; Until 0: no end
}

// Count is how many events of a type a project had in an hour, records of merges (type merge) among them. It is of what was stored:
// what is erased, or removed because it is too old, stays counted.
type Count struct {
	Type        string // empty: of all types beyond [MaxTypes]
	Hour        Hour
	Events      uint64
	First, Last uint64 // the lowest and the highest sequence number of them
}

// Names of the properties of the event that records a merge: the identifiers of the command that caused it, and those that both
// customers had before.
const (
	CauseIDs    = "cause_ids"
	SurvivorIDs = "survivor_ids"
	AbsorbedIDs = "absorbed_ids"
)
