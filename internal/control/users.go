package control

import (
	"net/http"
	"time"

	"trackway/internal/audit"
)

// userSession is a session in the answer to GET /users/sessions.
type userSession struct {
	User    string    `json:"user"`
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen"`
	Address string    `json:"address"` // empty if it is unknown
}

// userRoutes are the routes for users:
//
//	POST /users/reload    reads the users again
//	GET  /users/sessions  answers {"sessions":[…]}, each with user, since, seen
//	                      and address
//	POST /users/sign-out  ends the sessions of ?name=, and answers {"ended":N}
func userRoutes() map[string]func(*call) error {
	do := func(f func(*call) error) func(*call) error {
		return func(c *call) error {
			if c.ReloadUsers == nil {
				return refuse("", "No server is running here that people could sign in at.")
			}
			return f(c)
		}
	}
	return map[string]func(*call) error{
		http.MethodPost + " /users/reload":   do(func(c *call) error { return c.ReloadUsers(c.r.RemoteAddr) }),
		http.MethodGet + " /users/sessions":  do((*call).sessions),
		http.MethodPost + " /users/sign-out": do((*call).signOut),
	}
}

func (c *call) sessions() error {
	list := []userSession{}
	for _, s := range c.Sessions() {
		one := userSession{User: s.User, Since: s.Since, Seen: s.Seen}
		if s.Address.IsValid() {
			one.Address = s.Address.String()
		}
		list = append(list, one)
	}
	return c.json(map[string][]userSession{"sessions": list})
}

func (c *call) signOut() error {
	name := c.query.Get("name")
	ended := c.SignOut(name)
	e := c.entry(audit.SessionEnd, name)
	e.Outcome, e.Count = audit.Done, uint64(ended)
	c.Audit.Note(e)
	return c.json(map[string]int{"ended": ended})
}
