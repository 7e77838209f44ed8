package app

import (
	"context"
	"net"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/limit/share"
	"trackway/internal/log/raft/peer"
)

// shareLimits lets the servers of a cluster count together what the policies
// say is shared.
func (s *server) shareLimits(reg *prometheus.Registry) error {
	if s.member == nil {
		return nil
	}
	self := s.member.raft.Load().ID()
	at, err := peer.ParseTarget("#" + self)
	if err != nil {
		return err
	}
	s.sharing = share.New(share.Options{
		Self: self, Members: s.member.sharing, Dial: s.member.dialShare, Ledger: s.limits,
		Changed: s.sharersChanged,
	})
	s.limits.ShareWith(s.sharing)
	for _, c := range s.sharing.Collectors() {
		reg.MustRegister(c)
	}
	s.member.network.Handle(peer.Lease, 0, at.ID, s.sharing.Serve)
	return nil
}

// sharersChanged publishes how many servers share limits, if they share any.
func (s *server) sharersChanged() {
	if slices.ContainsFunc(s.limits.Set().Policies(), func(p trackway.Policy) bool { return p.Shared }) {
		s.republish("the number of servers that share limits has changed")
	}
}

// sharers returns how many servers share limits; 0: this one stands alone.
func (s *server) sharers() int {
	if s.sharing == nil {
		return 0
	}
	return s.sharing.Size()
}

// sharing returns the servers that share limits: all members, even those
// without a vote.
func (m *member) sharing() []share.Member {
	var all []share.Member
	for _, other := range m.raft.Load().Status().Members {
		all = append(all, share.Member{ID: other.ID, Address: other.Address})
	}
	return all
}

// dialShare connects to a member, to borrow calls from it.
func (m *member) dialShare(ctx context.Context, to share.Member) (net.Conn, error) {
	target, err := peer.ParseTarget(to.Address + "#" + to.ID)
	if err != nil {
		return nil, err
	}
	return m.network.Dial(ctx, target, peer.Lease, 0)
}
