package api

import (
	"context"
	"strconv"
	"time"

	"trackway/internal/query"
)

// erasureRow is an erasure as callers see it.
type erasureRow struct {
	ID          string     `json:"id"`
	State       string     `json:"state"` // scheduled, or done: gone from files and from destinations that can delete
	Asked       time.Time  `json:"asked"`
	Done        *time.Time `json:"done"`                    // null while it is scheduled
	WaitingFor  []string   `json:"waiting_for,omitempty"`   // destinations that have not deleted it yet
	Undeletable []string   `json:"cannot_delete,omitempty"` // destinations that cannot delete, and may have a copy
}

func newErasureRow(e query.Erasure) erasureRow {
	row := erasureRow{
		ID: strconv.FormatUint(e.ID, 10), State: "scheduled", Asked: e.Asked.Time().Truncate(time.Second),
		WaitingFor: e.WaitingFor, Undeletable: e.Undeletable,
	}
	if e.Done != 0 {
		done := e.Done.Time().Truncate(time.Second)
		row.State, row.Done = "done", &done
	}
	return row
}

// erasures answers with the state of each erasure of a project, newest first.
func (c *erasing) erasures() error {
	var list []query.Erasure
	err := c.in(c.places.questions, func(context.Context) (err error) {
		list, err = c.eraser.Erasures(c.grant.Project.Number)
		return err
	})
	if err != nil {
		return err
	}
	rows := make([]erasureRow, len(list))
	for i, e := range list {
		rows[i] = newErasureRow(e)
	}
	return c.encoded(struct {
		Erasures []erasureRow `json:"erasures"`
	}{rows})
}
