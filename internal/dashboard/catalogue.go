package dashboard

import "trackway/internal/catalogue"

// catalogue answers with what is known of a project's types of events.
func (q *request) catalogue() error {
	p, err := q.project(q.param("project"))
	if err != nil {
		return err
	}
	body := catalogueBody{secondsOf(q.now), q.Types.View(p.Number, p.Name, q.now, nil)}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type catalogueBody struct {
	Now seconds `json:"now"`
	*catalogue.View
}
