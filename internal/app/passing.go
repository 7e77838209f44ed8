package app

import (
	"context"
	"net/http"

	"trackway/internal/api/passing"
	"trackway/internal/app/member"
	"trackway/internal/control"
	"trackway/internal/control/onward"
	"trackway/internal/control/relay"
	"trackway/internal/door"
	"trackway/internal/listen"
	"trackway/internal/log/raft/peer"
	"trackway/internal/partition"
	"trackway/internal/partition/afar"
	"trackway/internal/partition/saving"
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
	serves := func(part int) bool { return s.parts[part].store != nil }
	mux.Handle(afar.Path, afar.Handler(s.store, serves))
	mux.Handle("POST "+saving.Path, s.saving().Handler(serves))
	mux.Handle(onward.Path, onward.Taken(http.HandlerFunc(s.serveOperators)))
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

// serveOperators answers what operators ask other servers about projects whose
// data is here.
func (s *server) serveOperators(w http.ResponseWriter, r *http.Request) {
	switch h := s.controlled.Load(); {
	case !control.OfProject(r):
		http.NotFound(w, r)
	case h == nil: // it is starting
		onward.NotHere(w, r)
	default:
		(*h).ServeHTTP(w, r)
	}
}

// elsewhere returns what answers operators in the place of this server, because
// others hold the data of a project.
func (s *server) elsewhere() func(r *http.Request, project uint32) http.Handler {
	sender := onward.New(s.Log)
	return func(r *http.Request, project uint32) http.Handler {
		to, here := s.member.Holders(project)
		switch {
		case here:
			return nil
		case onward.Passed(r.Context()):
			return http.HandlerFunc(onward.NotHere)
		}
		return sender.To(to)
	}
}

// awaitLatest waits a while until this server has everything that any server
// has acknowledged of a project that is here.
func (s *server) awaitLatest(ctx context.Context, project uint32) error {
	part := 0
	if len(s.parts) > 1 {
		part = partition.Of(project)
	}
	return s.member.Latest(ctx, part)
}
