package page

import (
	"context"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
)

// Merge says when and why two customers became one. Who was asked to be erased since has none of the identifiers.
type Merge struct {
	Seq  uint64          // the record's place in the log
	Time trackway.Micros // of the command that caused it, when it was received

	// The identifiers of the command, and those that both customers had before: JSON objects, empty where they are not known.
	Cause, Survivor, Absorbed []byte
}

// Merges returns the last merges of a customer, the newest first: up to limit of them, or those that were found when ctx ended.
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
