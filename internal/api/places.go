package api

import (
	"trackway/internal/api/body"
	"trackway/internal/api/room"
)

// pageBytes is the memory of an answer that is made before it is sent. Package
// page ends its pages there.
const pageBytes = 8 << 20

// places bounds how much is done at the same time, by kind. An address has a
// share of each, and beyond it waits in a line of its own.
type places struct {
	questions *room.Places // that are answered whole, each with up to pageBytes
	answers   *room.Places // of unknown length that are being made
	long      *room.Places // of those, the ones that are longer than a piece: some are left for short ones
	erasures  *room.Places
	watchers  *room.Places // of the live page
	lingering *room.Places // connections that are read after the answer
	trials    *room.Places // of limits: each takes a processor for seconds
	passed    *room.Places // questions that the leader of the cluster answers
	away      *room.Places // calls that other servers carry out, which hold the data
	streams   *room.Places // live pages that they answer
}

const (
	maxQuestions = 16 // as far as the memory for answers goes, and two at least
	maxAnswers   = 32
	maxLong      = 24
	maxErasures  = 8
	maxWatchers  = 100
	maxLingering = 64

	placesPart = 4 // an address has at most this part of each
)

const leastQuestions = 2

// maxAnswerMemory, or [Config.Answers], bounds the memory of all answers that
// are made completely before they are sent.
const maxAnswerMemory = 128 << 20

// newAnswerMemory returns the memory for answers: at least what a few questions
// need, and one more, because package room keeps a part for small callers.
func newAnswerMemory(size int) *room.Room { return room.New(max(size, (leastQuestions+1)*pageBytes)) }

func newPlaces(answers *room.Room) places {
	of := func(n int) *room.Places { return room.NewPlaces(n, n/placesPart) }
	made := answers.Size() / 4 * 3 / pageBytes // the rest is for those that are being sent
	return places{of(min(made, maxQuestions)), of(maxAnswers), of(maxLong), of(maxErasures), of(maxWatchers), of(maxLingering), room.NewPlaces(1, 1), of(maxPassed), of(maxAway), room.NewPlaces(maxStream, maxStream/2)}
}

// The places that routes of the pages' handler need.
func forQuestions(p *places) *room.Places { return p.questions }
func forLong(p *places) *room.Places      { return p.long }
func forWatchers(p *places) *room.Places  { return p.watchers }
func forErasures(p *places) *room.Places  { return p.erasures }
func forTrials(p *places) *room.Places    { return p.trials }

// named returns all places by their names in metrics.
func (p *places) named(bodies *body.Intake) map[string]*room.Places {
	return map[string]*room.Places{
		"questions": p.questions, "answers": p.answers, "long_answers": p.long, "erasures": p.erasures,
		"watchers": p.watchers, "lingering": p.lingering, "large_bodies": bodies.Large, "trials": p.trials, "passed": p.passed, "away": p.away, "streams": p.streams,
	}
}
