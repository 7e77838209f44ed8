package app

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/limit/share"
)

// shareLimits lets the servers of a cluster count together what the policies
// say is shared.
func (s *server) shareLimits(reg *prometheus.Registry) {
	if s.member == nil {
		return
	}
	s.sharing = share.New(share.Options{
		Self: s.member.ID(), Members: s.member.Sharing, Dial: s.member.DialShare, Ledger: s.limits,
		Changed: s.sharersChanged,
	})
	s.limits.ShareWith(s.sharing)
	for _, c := range s.sharing.Collectors() {
		reg.MustRegister(c)
	}
	s.member.ServeShare(s.sharing.Serve)
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
