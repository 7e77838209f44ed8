package app

import (
	"context"
	"net"
	"net/http"

	"trackway/internal/api/position"
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
	s.member.network.Handle(peer.Question, 0, s.member.raft.Load().Self(), from.Take)
}

// leader returns what carries questions to the server that leads, or nil if
// this one stands alone.
func (s *server) leader() http.RoundTripper {
	if s.member == nil {
		return nil
	}
	return relay.Transport(s.member.dialForQuestion)
}

// dialForQuestion connects to the server that leads.
func (m *member) dialForQuestion(ctx context.Context) (net.Conn, error) {
	log := m.raft.Load()
	leader, known := log.Leader()
	if !known || leader.ID == log.Self() {
		return nil, position.ErrBehind
	}
	return m.network.Dial(ctx, leader, peer.Question, 0)
}
