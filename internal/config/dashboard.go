package config

import (
	"crypto/sha256"
	"net"

	"trackway"
	"trackway/internal/people/openid"
)

// password returns the SHA-256 of the password for the server's pages. It is
// zero if there is no password, or if only users may sign in.
func (d *doc) password() (sum [sha256.Size]byte) {
	s := &d.file.Dashboard
	f := forms{"password", &s.Password, &s.PasswordSHA256, &s.PasswordEnv, &s.PasswordFile}
	switch n := f.given(d); {
	case n == 1 && s.UsersOnly:
		d.sumOf(f) // for its mistakes
		d.warn(&s.UsersOnly, "makes the password here have no effect: you may remove it")
	case n == 1:
		return d.sumOf(f)
	case n > 1 || d.given(s) && !d.given(&s.UsersOnly) && !d.given(&s.OIDC):
		d.missing(s, "needs exactly one of %s", f)
	}
	return sum
}

// provider returns what the configuration says of the provider, or nil.
func (d *doc) provider(projects []trackway.Project) *openid.Settings {
	s := &d.file.Dashboard.OIDC
	if !d.given(s) {
		return nil
	}
	out := s.Check(d.Doc, projects)
	f := forms{"client_secret", &s.ClientSecret, nil, &s.ClientSecretEnv, &s.ClientSecretFile}
	if f.given(d) > 1 {
		d.missing(s, "needs at most one of %s", f)
	}
	out.ClientSecret = d.credential(f)
	// A URL that a request names could send codes elsewhere.
	if host, _, _ := net.SplitHostPort(d.file.Listen); d.file.Server.URL == "" && len(d.file.TLS.ACME.Hosts) == 0 && !openid.Loopback(host) {
		d.missing(s, "needs server: {url: …}, to which the provider sends browsers back")
	}
	return &out
}
