// Package record writes what is stored in the form in which the API for reading
// a project has it: customers, events and erasures. The caller decides who may
// see them.
package record

import (
	"strconv"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
	"trackway/internal/query/page"
)

// AppendCustomer appends a customer with its properties.
func AppendCustomer(b []byte, p *trackway.Profile) []byte {
	b = canonjson.AppendObject(append(appendHead(b, p), `,"properties":`...), query.Undated(p.Properties))
	return append(b, '}')
}

// AppendHistory appends a customer with the times of its properties, and with
// the merges that formed it.
func AppendHistory(b []byte, p *trackway.Profile, merges []page.Merge) []byte {
	b = appendDated(append(appendHead(b, p), `,"properties":[`...), p.Properties)
	b = appendMerges(append(b, `],"merges":[`...), merges)
	return append(b, "]}"...)
}

// appendHead appends the beginning of a customer: the number, the time of
// creation, and the identifiers. The number is a string, because it may be too
// large for a number in JavaScript.
func appendHead(b []byte, p *trackway.Profile) []byte {
	b = strconv.AppendUint(append(b, `{"customer":"`...), uint64(p.Customer), 10)
	b = p.Created.AppendSeconds(append(b, `","created":`...))
	return canonjson.AppendIDs(append(b, `,"ids":`...), p.IDs)
}

func appendDated(b []byte, all []trackway.DatedProperty) []byte {
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = canonjson.AppendString(append(b, `{"name":`...), all[i].Name)
		b = append(append(b, `,"value":`...), all[i].Value...)
		b = all[i].Updated.AppendSeconds(append(b, `,"updated":`...))
		b = append(b, '}')
	}
	return b
}

func appendMerges(b []byte, all []page.Merge) []byte {
	for i := range all {
		if i > 0 {
			b = append(b, ',')
		}
		m := &all[i]
		b = m.Time.AppendSeconds(append(b, `{"time":`...))
		b = append(append(b, `,"cause":`...), m.Cause...)
		b = append(append(b, `,"survivor":`...), m.Survivor...)
		b = append(append(b, `,"absorbed":`...), m.Absorbed...)
		b = append(b, '}')
	}
	return b
}

// AppendEvent appends an event with all that the store knows about it.
func AppendEvent(b []byte, e *trackway.Event) []byte {
	b = strconv.AppendUint(append(b, `{"seq":"`...), e.Seq, 10)
	b = strconv.AppendUint(append(b, `","customer":"`...), uint64(e.Customer), 10)
	b = e.Received.AppendSeconds(append(b, `","received":`...))
	b = append(b, ',')
	start := len(b)
	b = tracking.AppendEvent(b, e)
	return append(b[:start], b[start+1:]...) // its members, without the bracket in front
}

// Erasure is an erasure as callers see it.
type Erasure struct {
	ID          string     `json:"id"`
	State       string     `json:"state"` // scheduled, or done: gone from files and from destinations that can delete
	Asked       time.Time  `json:"asked"`
	Done        *time.Time `json:"done"`                    // null while it is scheduled
	WaitingFor  []string   `json:"waiting_for,omitempty"`   // destinations that have not deleted it yet
	Undeletable []string   `json:"cannot_delete,omitempty"` // destinations that cannot delete, and may have a copy
}

// ErasureOf returns an erasure of the store as callers see it.
func ErasureOf(e query.Erasure) Erasure {
	row := Erasure{
		ID: strconv.FormatUint(e.ID, 10), State: "scheduled", Asked: e.Asked.Time().Truncate(time.Second),
		WaitingFor: e.WaitingFor, Undeletable: e.Undeletable,
	}
	if e.Done != 0 {
		done := e.Done.Time().Truncate(time.Second)
		row.State, row.Done = "done", &done
	}
	return row
}
