package control

import (
	"net/http"
	"time"

	"trackway/internal/people"
)

// People are the users of the server's pages.
type People interface {
	// ReloadUsers puts the users in force that the managed file has now. The
	// sessions of those that have changed end.
	ReloadUsers() error

	// Sessions returns the sessions of all users.
	Sessions() []people.Session

	// SignOut ends all sessions of a user, and returns how many there were.
	SignOut(user string) int
}

// UserSession is a session in the answer to GET /users/sessions.
type UserSession struct {
	User    string    `json:"user"`
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen"`
	Address string    `json:"address"` // empty if it is unknown
}

// Sessions is the answer to GET /users/sessions.
type Sessions struct {
	Sessions []UserSession `json:"sessions"`
}

// Ended is the answer to POST /users/sign-out.
type Ended struct {
	Ended int `json:"ended"`
}

// userRoutes are the routes for users:
//
//	POST /users/reload    reads the users again
//	GET  /users/sessions  answers with [Sessions]
//	POST /users/sign-out  ends the sessions of ?name=, and answers with [Ended]
func userRoutes() map[string]func(*call) error {
	do := func(f func(*call) error) func(*call) error {
		return func(c *call) error {
			if c.People == nil {
				return refuse("", "No server is running here that people could sign in at.")
			}
			return f(c)
		}
	}
	return map[string]func(*call) error{
		http.MethodPost + " /users/reload":   do(func(c *call) error { return c.People.ReloadUsers() }),
		http.MethodGet + " /users/sessions":  do((*call).sessions),
		http.MethodPost + " /users/sign-out": do(func(c *call) error { return c.json(Ended{c.People.SignOut(c.query.Get("name"))}) }),
	}
}

func (c *call) sessions() error {
	all := Sessions{[]UserSession{}}
	for _, s := range c.People.Sessions() {
		one := UserSession{User: s.User, Since: s.Since, Seen: s.Seen}
		if s.Address.IsValid() {
			one.Address = s.Address.String()
		}
		all.Sessions = append(all.Sessions, one)
	}
	return c.json(all)
}
