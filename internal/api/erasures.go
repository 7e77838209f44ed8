package api

import (
	"context"
	"strconv"
	"time"

	"trackway/internal/query"
)

// erasureRow is an erasure as callers see it.
type erasureRow struct {
	ID    string     `json:"id"`
	State string     `json:"state"` // scheduled, or done: not a byte is left in the store's files
	Asked time.Time  `json:"asked"`
	Done  *time.Time `json:"done"` // null while it is scheduled
}

func newErasureRow(e query.Erasure) erasureRow {
	row := erasureRow{ID: strconv.FormatUint(e.ID, 10), State: "scheduled", Asked: e.Asked.Time().Truncate(time.Second)}
	if e.Done != 0 {
		done := e.Done.Time().Truncate(time.Second)
		row.State, row.Done = "done", &done
	}
	return row
}

// appendErased appends the answer to an erasure that was just asked for.
func appendErased(b []byte, e query.Erasure) []byte {
	b = append(b, `{"success":true,"erasure":{"id":"`...)
	return append(strconv.AppendUint(b, e.ID, 10), `","state":"scheduled"}}`...)
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
