package app

import (
	"time"

	"trackway"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/store"
)

// eraser erases customers also from what waits for those who watch, and from
// what is remembered of refused commands.
type eraser struct {
	erasures

	live *live.Hub
}

// erasures is what erases customers in the store.
type erasures interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (store.Erased, error)
	Erasures(project uint32) ([]query.Erasure, error)
}

// Erase implements [api.Eraser]. It forgets what the store says went: who has
// which identifiers can change until the moment at which they go.
func (e eraser) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error) {
	done, err := e.erasures.Erase(project, c, personal, at)
	if done.ID != 0 { // also if it is not known whether the disk keeps it: nobody is to be shown more than readers are
		e.live.Forget(project, done.IDs, time.Now())
	}
	return done.Erasure, err
}
