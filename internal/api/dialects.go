package api

import (
	"trackway/internal/api/dialect"
)

// dialects returns the routes of other products' clients.
func (s *Server) dialects() (routes []route) {
	for _, d := range dialect.Routes() {
		rt := route{
			method: d.Method, path: d.Path, open: d.Admit == nil, needs: d.Needs, format: d.Format, maxBody: d.MaxBody, do: s.takes, dialect: &d,
		}
		if d.Reply != nil {
			rt.do, rt.anywhere = (*call).reply, true
		}
		routes = append(routes, rt)
	}
	return routes
}

// paths returns the paths under which a route is served.
func (rt *route) paths() []string {
	if rt.dialect == nil {
		return []string{rt.path}
	}
	return rt.dialect.Paths()
}

// reply answers a call of a dialect that brings no commands.
func (c *call) reply() error {
	c.sayMedia()
	return c.answer(c.route.dialect.Reply(&dialect.Question{Request: c.r, Body: c.body, Grant: c.grant}))
}

// projectToken returns the token of the project that a call is for, as far as
// it is known.
func (c *call) projectToken() string {
	if c.grant.Project != nil {
		return c.grant.Project.Token
	}
	return c.r.PathValue("token")
}
