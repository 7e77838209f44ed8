package app

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"trackway/internal/config"
	"trackway/internal/config/reach"
	"trackway/internal/fleet"
	"trackway/internal/sleep"
)

// fleetOf returns this server and the others that clients may choose from:
// those of the configuration, and the members of the cluster. Members get to
// know what this server is, too.
func (s *server) fleetOf(cfg *config.Config) (self fleet.Server, others []fleet.Server) {
	self = fleet.Server{Name: cfg.Server.Name, Region: cfg.Server.Region, URL: reach.URL(cfg, s.public.Addr())}
	for _, other := range cfg.Servers {
		others = append(others, fleet.Server{Name: other.Name, Region: other.Region, URL: strings.TrimRight(other.URL, "/")})
	}
	if s.member == nil {
		return self, others
	}
	s.tellMembers(self)
	configured := len(others)
	for _, other := range s.membersTold() {
		named := func(known fleet.Server) bool { return known.Name == other.Name }
		there := func(known fleet.Server) bool { return known.URL == other.URL }
		if other.URL != self.URL && !slices.ContainsFunc(others[:configured], named) && !slices.ContainsFunc(others, there) {
			others = append(others, other)
		}
	}
	return self, others
}

// tellMembers lets the other members know where clients reach this server. An
// address on the loopback interface is of no use to clients, unless the whole
// cluster is on one machine.
func (s *server) tellMembers(self fleet.Server) {
	var about []byte
	if u, err := url.Parse(self.URL); err == nil && (!onLoopback(u.Hostname()) || onLoopback(host(s.Config.Cluster.Advertise))) {
		about, _ = json.Marshal(self) // texts can always be encoded
	}
	s.member.Tell(about)
}

// membersTold returns the other members that have said where clients reach
// them.
func (s *server) membersTold() (all []fleet.Server) {
	for _, about := range s.member.Told() {
		var other fleet.Server
		if json.Unmarshal(about, &other) != nil {
			continue // its program is newer
		}
		u, err := url.Parse(other.URL)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && other.Name != "" {
			all = append(all, other)
		}
	}
	return all
}

func host(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

func onLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback() || host == "localhost"
}

// followMembers keeps the list of servers up to date, until ctx ends.
func (s *server) followMembers(ctx context.Context) error {
	var known []fleet.Server
	for sleep.For(ctx, time.Second) == nil {
		now := s.membersTold()
		if slices.Equal(now, known) {
			continue
		}
		known = now
		s.mu.Lock()
		s.fleet.Reload(s.fleetOf(s.Config))
		s.mu.Unlock()
		s.republish("the servers of the cluster have changed")
	}
	return nil
}
