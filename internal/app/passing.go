package app

import (
	"context"

	"trackway/internal/control/relay"
	"trackway/internal/listen"
	"trackway/internal/log/raft/peer"
)

// takeQuestions takes the questions of clients that other members pass on to
// this one, because it leads. A server that stands alone takes none.
func (s *server) takeQuestions(ctx context.Context) {
	if s.member == nil {
		return
	}
	from := relay.NewListener()
	s.questions = listen.Patient(ctx, from, s.operatorBounds(), s.Log)
	s.questions.Handle(s.api.Passed())
	s.member.Handle(peer.Question, from.Take)
}
