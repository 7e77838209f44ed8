package doctor

import (
	"context"
	"net"
	"net/url"
	"strings"

	"trackway/internal/config/reach"
	"trackway/internal/people"
	"trackway/internal/people/openid"
)

// users says who can sign in to the pages, and what is weak about that.
func (x *examination) users() {
	const check = "users"
	c, admins := x.Config, 0
	for i := range c.Users {
		if c.Users[i].All == people.Admin {
			admins++
		}
	}
	password := c.Password != [32]byte{}
	found := "users: %d, admins among them: %d"
	switch {
	case !password && len(c.Users) == 0 && c.Provider == nil:
		x.ok(check, "nobody can sign in to the pages")
	case password && len(c.Users) == 0 && c.Provider == nil:
		x.ok(check, "everybody signs in with the one password")
	case password && admins > 0:
		x.warn(check, "if nobody needs it any more: dashboard: {users_only: true}, and reload",
			found+"; the one password still lets in, as an admin without a name", len(c.Users), admins)
	case password:
		x.warn(check, "make an admin: trackway user add NAME --role admin",
			found+"; users can only be managed with the one password, which has no name", len(c.Users), admins)
	case admins == 0 && c.Provider != nil:
		x.warn(check, "make a user for emergencies: trackway user add NAME --role admin",
			found+"; while the provider is down, no admin gets in", len(c.Users), admins)
	case admins == 0:
		x.warn(check, "trackway user set NAME --role admin", found+"; nobody can manage the users on the pages", len(c.Users), admins)
	default:
		x.ok(check, found, len(c.Users), admins)
	}
}

// provider asks the provider whether people could sign in there.
func (x *examination) provider(ctx context.Context) {
	const check = "provider"
	s := x.Config.Provider
	if s == nil {
		return
	}
	addr, err := net.ResolveTCPAddr("tcp", x.Config.Listen)
	if err != nil {
		x.fail(check, "correct listen, or set server: {url: …}", "where browsers reach the pages is not known: %v", err)
		return
	}
	p := openid.New(*s, reach.URL(x.Config, addr))
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	got, err := p.Examine(ctx)
	if err != nil {
		x.fail(check, "open the issuer with /.well-known/openid-configuration at its end: it must answer, and name the same issuer",
			"%s (%s) cannot be used: %v", s.Name, s.Issuer, err)
		return
	}
	register := "register this URL at the provider: " + p.Redirect()
	if to, err := url.Parse(p.Redirect()); err == nil && to.Scheme == "http" && !openid.Loopback(to.Hostname()) {
		x.warn(check, "set server: {url: https://…}", "most providers do not send browsers to %s: it is not https", p.Redirect())
	}
	switch {
	case got.Client == openid.Refused && x.Partly:
		x.warn(check, "run doctor as the server's user, and with its environment", "%s answers; whether it accepts the client needs the secret", s.Name)
	case got.Client == openid.Refused:
		x.fail(check, "correct client_id and client_secret: both are those that the provider shows", "%s answers, and does not accept the client %s", s.Name, s.ClientID)
		return
	case got.Redirect == openid.Refused:
		x.fail(check, register, "%s accepts the client, and refuses to begin a sign-in", s.Name)
	case got.Client == openid.Accepted && got.Redirect == openid.Accepted:
		x.ok(check, "%s accepts the client, and sends browsers back to %s", s.Name, p.Redirect())
	default:
		x.ok(check, "%s answers; %s", s.Name, register)
	}
	if len(got.Lacking) > 0 {
		x.warn(check, "correct dashboard.oidc.scopes, or let the provider announce them", "%s does not announce the scopes %s", s.Name, strings.Join(got.Lacking, ", "))
	}
}
