package dashboard

import (
	"trackway/internal/control/relay"
	"trackway/internal/destination/listing"
)

// destinations answers with the state of all destinations. The text of an error
// may contain a value that a destination has refused. Partitions of which
// nothing is known are named besides.
func (q *request) destinations() error {
	all, missing, err := q.Destinations(q.r.Context())
	if err != nil {
		return err
	}
	body := destinationsBody{secondsOf(q.now), all, append([]relay.Unanswered{}, missing...)}
	if !q.seesPersonal(nil) {
		for i := range body.Destinations {
			row := &body.Destinations[i]
			row.Error, row.LastError = "", ""
		}
	}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type destinationsBody struct {
	Now          seconds       `json:"now"`
	Destinations []listing.Row `json:"destinations"`

	Unanswered []relay.Unanswered `json:"unanswered"`
}
