package dashboard

import "time"

// alarms answers with what rings, what has rung, and the rules.
func (q *request) alarms() error {
	body := q.Alarms(q.now)
	steady := body
	steady.At = time.Time{}
	return q.versioned(steady, body)
}
