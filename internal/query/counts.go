package query

import (
	"time"

	"trackway"
)

// MaxTypes is how many event types of a project are counted by name. Later
// types are counted together, so that random types do not fill the memory.
const MaxTypes = 1000

// By says by which time events are counted.
type By uint8

// The times.
const (
	ByTime     By = iota + 1 // when it happened: the counts of any hour may still change
	ByReceived               // when this server received it: past hours are final
)

// Hour is the number of an hour in UTC. The first hour of 1970-01-01 is 0.
type Hour uint32

const secondsAnHour = 60 * 60

// HourOf returns the hour of m.
func HourOf(m trackway.Micros) Hour {
	return Hour(m / (secondsAnHour * 1e6))
}

// Time returns the beginning of the hour.
func (h Hour) Time() time.Time { return time.Unix(int64(h)*secondsAnHour, 0).UTC() }

// CountRange is a part of a project's counts.
type CountRange struct {
	By           By
	Type         string // empty: all
	Since, Until Hour   // Since ≤ hour < Until; Until 0: no end
}

// Count is the number of events of a type that a project had in an hour,
// including records of merges (type merge). It counts what was stored: erased
// or expired events stay counted.
type Count struct {
	Type        string // empty: all types beyond [MaxTypes]
	Hour        Hour
	Events      uint64
	First, Last uint64 // the lowest and the highest of their sequence numbers
}

// Names of the properties of the event that records a merge: the identifiers of
// the command that caused it, and those that each customer had before.
const (
	CauseIDs    = "cause_ids"
	SurvivorIDs = "survivor_ids"
	AbsorbedIDs = "absorbed_ids"
)
