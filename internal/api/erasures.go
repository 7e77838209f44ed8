package api

import (
	"context"

	"trackway/internal/api/record"
	"trackway/internal/query"
)

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
	rows := make([]record.Erasure, len(list))
	for i, e := range list {
		rows[i] = record.ErasureOf(e)
	}
	return c.encoded(struct {
		Erasures []record.Erasure `json:"erasures"`
	}{rows})
}
