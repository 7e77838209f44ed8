package dashboard

import "trackway/internal/destination/listing"

// destinations answers with the state of all destinations.
func (q *request) destinations() error {
	body := destinationsBody{secondsOf(q.now), listing.Of(q.Destinations())}
	steady := body
	steady.Now = 0
	return q.versioned(steady, body)
}

type destinationsBody struct {
	Now          seconds       `json:"now"`
	Destinations []listing.Row `json:"destinations"`
}
