package app

import (
	"time"

	"trackway"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/store"
)

// eraser erases customers in the store, in the events that wait for watchers,
// in the memory of refused commands, and in the examples of the catalogue.
type eraser struct {
	erasures

	live      *live.Hub
	catalogue interface{ Forget() }
}

// erasures erases customers in the store.
type erasures interface {
	Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (store.Erased, error)
	Erasures(project uint32) ([]query.Erasure, error)
}

// Erase implements [api.Eraser]. It forgets exactly the identifiers that the
// store reports as erased: which customer has an identifier can change until
// that moment.
func (e eraser) Erase(project uint32, c trackway.Customer, personal []string, at trackway.Micros) (query.Erasure, error) {
	done, err := e.erasures.Erase(project, c, personal, at)
	if done.ID != 0 { // even if it is uncertain whether the disk has it: watchers must not see more than readers do
		e.live.Forget(project, done.IDs, time.Now())
		e.catalogue.Forget()
	}
	return done.Erasure, err
}
