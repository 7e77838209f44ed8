// Package listing makes the list of destinations in JSON, for the operator's
// commands and the dashboard.
package listing

import (
	"time"

	"trackway/internal/destination"
)

// Row is one destination. Durations are in seconds, and times in UTC. Counts
// begin with the start of the server, unless they say otherwise.
type Row struct {
	Name       string            `json:"name"`
	Kind       string            `json:"kind"`
	State      string            `json:"state"`    // running, behind, retrying, paused, stopped or checking
	Position   uint64            `json:"position"` // it has all changes up to this number
	LagEvents  uint64            `json:"lag_events"`
	LagSeconds float64           `json:"lag_seconds"` // since the oldest event that it lacks was received
	Batches    uint64            `json:"batches"`
	Rows       uint64            `json:"rows"`
	Rate       float64           `json:"rate"`    // rows a second, in the last minute
	History    []uint64          `json:"history"` // rows in the last ten minutes, per ten seconds, oldest first
	Success    *time.Time        `json:"last_success"`
	Failure    *time.Time        `json:"last_failure"`
	Error      string            `json:"error,omitempty"` // of the last failure, as long as it fails
	LastError  string            `json:"last_error,omitempty"`
	Rejected   map[string]uint64 `json:"rejected,omitempty"` // by reason, of all time
	Retries    map[string]uint64 `json:"retries,omitempty"`  // by reason
	Misfits    []Misfit          `json:"misfits,omitempty"`
	Lost       uint64            `json:"lost"`    // changes that the store could not read
	Missed     uint64            `json:"missed"`  // events that expired before they were sent
	Deletes    bool              `json:"deletes"` // erasures reach it
	LetsGo     bool              `json:"lets_go"` // events expire before it has them
}

// Misfit counts values that do not fit into their column.
type Misfit struct {
	Type     string `json:"type"`
	Property string `json:"property"`
	Values   uint64 `json:"values"`
}

// Of returns the rows of a list.
func Of(list []destination.Status) []Row {
	rows := make([]Row, len(list))
	for i := range list {
		rows[i] = rowOf(&list[i])
	}
	return rows
}

func rowOf(s *destination.Status) Row {
	r := Row{
		Name: s.Name, Kind: s.Kind, State: string(s.State), Position: s.Position, LagEvents: s.LagEvents, LagSeconds: s.Lag.Seconds(),
		Batches: s.Batches, Rows: s.Rows, Rate: s.Rate, History: s.History, Success: given(s.Success), Failure: given(s.Failure),
		LastError: s.Error, Rejected: s.Rejected, Retries: s.Retries, Lost: s.Lost, Missed: s.Missed, Deletes: s.Deletes, LetsGo: s.LetsGo,
	}
	if s.State == destination.Retrying || s.State == destination.Stopped {
		r.Error = s.Error
	}
	for _, m := range s.Misfits {
		r.Misfits = append(r.Misfits, Misfit{m.Type, m.Property, m.Values})
	}
	return r
}

// given returns a time, or nil if it is zero.
func given(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC().Truncate(time.Second)
	return &at
}
