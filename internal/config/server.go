package config

import (
	"net/url"
	"strings"

	"trackway/internal/config/scalar"
)

func (d *doc) checkServer(s *Server) {
	d.CheckName(&s.Name, s, "server")
	if s.Region != "" {
		d.CheckName(&s.Region, s, "region")
	}
	d.CheckServerURL(&s.URL)
}

// checkServers checks the other servers. Clients know each by its name, and
// this server asks each for its state at its URL.
func (d *doc) checkServers() {
	seen := map[string]any{d.file.Server.Name: &d.file.Server.Name}
	if !d.given(&d.file.Server.Name) {
		clear(seen) // the host's name has no place in the file to show
	}
	for i := range d.file.Servers {
		s := &d.file.Servers[i]
		d.checkServer(s)
		if !d.given(&s.URL) {
			d.missing(s, "needs a url, where clients and this server reach it")
		}
		if !d.given(&d.file.Server.Name) && s.Name == d.file.Server.Name {
			d.report(&s.Name, "is also this server's name, which comes from its host: set another by server: {name: …}")
		}
		unique(d, seen, &s.Name)
	}
}

// checkRedirectHosts checks the hosts whose calls are redirected. None may be a
// server's own host: calls would be redirected in a circle.
func (d *doc) checkRedirectHosts() {
	f := &d.file
	seen := map[string]any{}
	servers := []*Server{&f.Server}
	for i := range f.Servers {
		servers = append(servers, &f.Servers[i])
	}
	for i := range f.RedirectHosts {
		host := &f.RedirectHosts[i]
		*host = strings.ToLower(*host)
		if !scalar.IsHost(*host) {
			d.report(host, "must be a host's name, such as tracking.example.com, without a port")
		}
		for _, s := range servers {
			if u, err := url.Parse(s.URL); err == nil && strings.EqualFold(u.Hostname(), *host) {
				d.report(host, "is where server %s is reached: calls would be redirected in a circle", s.Name)
			}
		}
		unique(d, seen, host)
	}
	if len(f.RedirectHosts) > 0 && f.Server.URL == "" {
		d.missing(&f.RedirectHosts, "needs server: {url: …}, the URL of this server itself")
	}
}
