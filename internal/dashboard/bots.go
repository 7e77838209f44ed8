package dashboard

import "trackway/internal/suspect"

// bots answers with what was noticed of suspect customers of a project.
func (q *request) bots() error {
	p, err := q.project(q.param("project"))
	if err != nil {
		return err
	}
	body := botsBody{secondsOf(q.now), q.Suspects.View(p, q.now)}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type botsBody struct {
	Now seconds `json:"now"`
	suspect.View
}
