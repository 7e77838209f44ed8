package config

import (
	"net/mail"
	"net/url"
	"strings"

	"trackway/internal/config/scalar"
)

func (d *doc) checkServer(s *Server) {
	d.checkName(&s.Name, s, "server")
	if s.Region != "" {
		d.checkName(&s.Region, s, "region")
	}
	d.checkServerURL(&s.URL)
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
		if !isHost(*host) {
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

// isHost reports whether s is a DNS name (RFC 1123 section 2.1) or an IPv4
// address.
func isHost(s string) bool {
	const most = 253
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(c rune) bool { return c == '_' || !scalar.IsNameRune(c) }) < 0
}

func (d *doc) checkServerURL(at *string) {
	if *at == "" {
		return
	}
	u, err := url.Parse(*at)
	if err == nil && isWeb(u) && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return
	}
	d.reportURL(at, "must be an address such as https://ts1.example.com")
}

func (d *doc) checkContact(c *Contact) {
	d.checkEmail(&c.Email)
	if c.URL == "" {
		return
	}
	u, err := url.Parse(c.URL)
	if err == nil && u.User == nil && isWeb(u) {
		return
	}
	d.reportURL(&c.URL, "must be the address of a page, such as https://example.com/support")
}

// checkEmail checks an address that may be empty.
func (d *doc) checkEmail(at *string) {
	if *at == "" {
		return
	}
	if a, err := mail.ParseAddress(*at); err != nil || a.Address != *at {
		d.report(at, "must be an address such as tracking@example.com")
	}
}

func isWeb(u *url.URL) bool { return (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" }

// reportURL reports a problem with a URL. It hides one that may contain a
// password (user:password@host).
func (d *doc) reportURL(at *string, msg string) {
	if strings.Contains(*at, "@") {
		d.conceal(at)
	}
	d.report(at, "%s", msg)
}
