package dashboard

import "trackway/internal/suspect"

// bots answers with what was noticed of suspect customers of a project. Names
// of user agents are what strangers sent, so they may be anything.
func (q *request) bots() error {
	p, err := q.project(q.param("project"))
	if err != nil {
		return err
	}
	body := botsBody{secondsOf(q.now), q.Suspects.View(p, q.now)}
	if !q.seesPersonal(p) {
		body.Agents = []suspect.ByAgent{}
	}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type botsBody struct {
	Now seconds `json:"now"`
	suspect.View
}
