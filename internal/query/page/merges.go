package page

import (
	"context"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// Merge says when and why two customers were merged. It has no identifiers if
// the customer was erased later.
type Merge struct {
	Seq  uint64          // the record's position in the log
	Time trackway.Micros // when the command that caused it was received

	// The identifiers in the command, and those that both customers had before:
	// JSON objects, empty if unknown.
	Cause, Survivor, Absorbed []byte
}

// Merges returns up to limit merges of a customer, newest first. If ctx ends,
// it returns those found until then.
func Merges(ctx context.Context, s query.Snapshot, project uint32, c trackway.Customer, limit int) (merges []Merge, err error) {
	size, passed := 0, 0
	r := query.TimelineRange{NewestFirst: true, Merges: true, Passed: func() bool {
		passed++
		return passed%checkEvery != 0 || ctx.Err() == nil
	}}
	err = s.Timeline(project, c, r, func(e *trackway.Event, _ query.Place) bool {
		merges = append(merges, newMerge(e))
		size += len(e.Properties)
		return len(merges) < limit && size < maxPage && ctx.Err() == nil
	})
	return merges, err
}

func newMerge(e *trackway.Event) Merge {
	m := Merge{Seq: e.Seq, Time: e.Time, Cause: []byte("{}"), Survivor: []byte("{}"), Absorbed: []byte("{}")}
	for _, p := range canonjson.SplitObject(append([]byte(nil), e.Properties...)) {
		switch p.Name {
		case query.CauseIDs:
			m.Cause = p.Value
		case query.SurvivorIDs:
			m.Survivor = p.Value
		case query.AbsorbedIDs:
			m.Absorbed = p.Value
		}
	}
	return m
}
