package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"trackway"
)

// Counts is how much of a project the other side has.
type Counts struct {
	// Events has the number of events by type, without the records of merges.
	// An empty type stands for all types that are not counted by name.
	Events map[string]uint64
}

// Count asks the other side how many events of a project it has. The other side
// must be a Trackway, because other servers have no such call, and the mirror
// must have the user and password of a private key. Count may be called at any
// time, even during another method.
func (s *Sink) Count(ctx context.Context, project string) (Counts, error) {
	if s.basic == "" {
		return Counts{}, errors.New("counting needs user and password: the id and secret of a private key on the other side")
	}
	answer, err := s.get(ctx, project, "/api/projects/", "/stats")
	if err != nil {
		return Counts{}, err
	}
	var found struct {
		Rows []struct {
			Type   string
			Events uint64
		}
	}
	switch {
	case answer.Status == http.StatusNotFound:
		return Counts{}, errors.New("the other side cannot count: it is not a Trackway, or does not have this project")
	case answer.Status != http.StatusOK:
		return Counts{}, fmt.Errorf("the other side answers %d to the question for its counts", answer.Status)
	case json.Unmarshal(answer.Body, &found) != nil:
		return Counts{}, errAnswer
	}
	c := Counts{Events: map[string]uint64{}}
	for _, row := range found.Rows {
		if row.Type != trackway.MergeType {
			c.Events[row.Type] += row.Events
		}
	}
	return c, nil
}
