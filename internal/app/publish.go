package app

import (
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"trackway/internal/api"
	"trackway/internal/config"
	"trackway/internal/fleet"
	"trackway/internal/guide"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
)

// openHistory opens the record of changed limits, in the data directory. Damage
// to it does not keep a server from starting: limits do not depend on it.
func openHistory(cfg *config.Config, log *slog.Logger) (*history.Log, error) {
	path := filepath.Join(cfg.DataDir, history.File)
	l, err := history.Open(path)
	if err == nil && len(l.Damaged()) > 0 {
		log.Error("the history of the limits was damaged: those lines were put aside, all others are as they were",
			"file", path, "lines", l.Damaged(), "aside", path+history.DamagedSuffix)
	}
	return l, err
}

// publish records what a configuration changes about the limits, the proxies and the keys, and writes the guide to it. It is done before the limits are put
// in force, so that no change goes unrecorded: with an error, nothing is to be changed.
func (s *server) publish(cfg *config.Config, set *limit.Set) (*guide.Guide, error) {
	access := history.Access{Trusted: cfg.TrustedProxies, Header: cfg.ClientIPHeader, Projects: cfg.Projects}
	if err := s.history.Record(time.Now(), set.Policies(), cfg.Overrides, access); err != nil {
		return nil, err
	}
	overrides := inForce(cfg.Overrides, time.Now())
	facts := guide.Facts{
		Server:  guide.Server{Name: cfg.Server.Name, Region: cfg.Server.Region, URL: publicURL(cfg, s.address)},
		Contact: guide.Contact(cfg.Contact), RedirectHosts: cfg.RedirectHosts, Limits: set, Free: api.Free(), Overrides: overrides, Since: s.history.Since,
	}
	for _, other := range cfg.Servers {
		facts.Others = append(facts.Others, guide.Server{Name: other.Name, Region: other.Region, URL: strings.TrimRight(other.URL, "/")})
	}
	return guide.New(facts)
}

// fleetOf returns this server and the others as a configuration names them.
func fleetOf(cfg *config.Config, addr net.Addr) (self fleet.Server, others []fleet.Server) {
	for _, s := range cfg.Servers {
		others = append(others, fleet.Server{Name: s.Name, Region: s.Region, URL: s.URL})
	}
	return fleet.Server{Name: cfg.Server.Name, Region: cfg.Server.Region, URL: publicURL(cfg, addr)}, others
}

// publicURL returns where clients reach this server: where the operator says, or else where it listens.
func publicURL(cfg *config.Config, addr net.Addr) string {
	switch {
	case cfg.Server.URL != "":
		return strings.TrimRight(cfg.Server.URL, "/")
	case cfg.TLS.Cert != "":
		return "https://" + Reachable(addr)
	}
	return "http://" + Reachable(addr)
}

// Reachable returns an address at which the listener can be reached from here: one that listens everywhere is reached on the
// loopback interface.
func Reachable(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return addr.String()
	}
	local := &net.TCPAddr{IP: net.IPv6loopback, Port: tcp.Port}
	if tcp.IP.To4() != nil {
		local.IP = net.IPv4(127, 0, 0, 1)
	}
	return local.String()
}
