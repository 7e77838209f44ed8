package app

import (
	"context"
	"net/http"

	"trackway/internal/api/passing"
	"trackway/internal/app/member"
	"trackway/internal/control/relay"
	"trackway/internal/door"
	"trackway/internal/listen"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition/afar"
)

// takeQuestions takes the calls of clients that other members pass on to this
// one, because it leads, or holds the data of their project. It also takes what
// members ask each other. A server that stands alone takes none.
func (s *server) takeQuestions(ctx context.Context) {
	if s.member == nil {
		return
	}
	from := relay.NewListener()
	s.questions = listen.Patient(ctx, from, door.Bounds{Max: mostPassing}, s.Log)
	mux := http.NewServeMux()
	mux.Handle("/", s.api.Passed())
	mux.Handle(afar.Path, afar.Handler(s.store, func(part int) bool { return s.parts[part].store != nil }))
	mux.Handle(member.Path, s.member.Asked())
	mux.HandleFunc("/destinations", s.serveOthers)
	mux.HandleFunc("/destinations/", s.serveOthers)
	s.questions.Handle(mux)
	s.member.Handle(peer.Question, from.Take)
	s.member.HandleCalls(from.Take)
}

// mostPassing is how many connections of other servers there are for calls.
const mostPassing = 256

// holders returns what knows who holds the data of projects, or nil if this
// server holds all.
func (s *server) holders() passing.Holders {
	if s.member == nil || len(s.parts) == 1 {
		return nil
	}
	return s.member.Holders
}
