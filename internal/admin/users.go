package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/config"
	"trackway/internal/config/things"
	"trackway/internal/people"
)

// user is a user in an answer.
type user struct {
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	Sessions int      `json:"sessions"` // how many are open
}

func (c *call) shownUser(u *people.User) user {
	n := 0
	for _, s := range c.Sessions() {
		if s.User == u.Name {
			n++
		}
	}
	return user{u.Name, append([]string{}, u.Roles()...), n}
}

// listUsers answers with all users.
func (c *call) listUsers() error {
	k, err := c.read()
	if err != nil {
		return err
	}
	all := []user{}
	users := k.Users()
	for i := range users {
		all = append(all, c.shownUser(&users[i]))
	}
	return c.answer(http.StatusOK, map[string][]user{"users": all})
}

// user answers with a user.
func (c *call) user() error { return c.userNow(http.StatusOK) }

func (c *call) userNow(status int) error {
	k, err := c.read()
	if err != nil {
		return err
	}
	u := k.Users().Find(c.name)
	if u == nil {
		return c.nobody()
	}
	c.w.Header().Set("Etag", c.tag(u.Stamp()))
	return c.answer(status, c.shownUser(u))
}

func (c *call) nobody() error {
	return &trackway.Error{Code: trackway.NotFound, Field: "name", Msg: "There is no such user."}
}

// hashTime limits how long a new password waits for its turn.
const hashTime = 5 * time.Second

// sentUser is what a caller says about a user.
type sentUser struct {
	Roles    []string `json:"roles"`
	Password *string  `json:"password"`

	hash string // of the password; empty: the present one
}

// putUser makes a user, or gives one other roles. Without a password, a user
// keeps the present one.
func (c *call) putUser() error {
	var sent sentUser
	if err := c.into(&sent, false); err != nil {
		return err
	}
	if sent.Roles == nil {
		return refuse(http.StatusBadRequest, "roles", "must be given, as a list of texts")
	}
	if sent.Password != nil {
		if err := people.CheckPassword(c.name, *sent.Password); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.r.Context(), hashTime)
		defer cancel()
		var err error
		if sent.hash, err = c.passwords.Hash(ctx, *sent.Password); err != nil {
			return err
		}
	}
	status := http.StatusOK
	err := c.changed(func(k *config.Keys) (*audit.Entry, error) {
		old := k.Users().Find(c.name)
		if old == nil {
			status = http.StatusCreated
		}
		return c.putUserIn(k, &sent, old)
	})
	if err != nil {
		return err
	}
	return c.userNow(status)
}

// putUserIn changes a user in the configuration. old is the user as it is; nil:
// it is new.
func (c *call) putUserIn(k *config.Keys, sent *sentUser, old *people.User) (*audit.Entry, error) {
	entry, present := &audit.Entry{Action: audit.UserAdd, Target: c.name}, ""
	if old != nil {
		entry.Action, present = audit.UserChange, old.Stamp()
	}
	if err := c.may(present); err != nil {
		return nil, err
	}
	roles, err := tokens(k, sent.Roles)
	if err != nil {
		return nil, err
	}
	next, err := people.NewUser(c.name, sent.hash, roles)
	switch {
	case err != nil:
		return nil, err
	case old == nil && sent.hash == "":
		return nil, refuse(http.StatusUnprocessableEntity, "password", "must be given: the user is new")
	case old == nil:
		return entry, k.ChangeUsers(func(users people.List) (people.List, error) { return users.Add(next) })
	case sent.hash == "":
		next.Password = old.Password
	default:
		entry.Action = audit.UserPassword
	}
	if next.Stamp() == present {
		return nil, nil
	}
	return entry, k.ChangeUsers(func(users people.List) (people.List, error) {
		return users.Change(c.name, func(people.User) (people.User, error) { return next, nil })
	})
}

// tokens returns roles with the tokens of projects that they may name by their
// names.
func tokens(k *config.Keys, roles []string) ([]string, error) {
	list := make([]string, len(roles))
	for i, text := range roles {
		list[i] = text
		role, project, in := strings.Cut(text, ":")
		if !in {
			continue
		}
		known := false
		for _, t := range k.Things(things.Projects) {
			token, _ := t.Settings["token"].(string)
			if t.Name == project || strings.EqualFold(token, project) {
				list[i], known = role+":"+strings.ToLower(token), true
			}
		}
		if !known {
			return nil, refuse(http.StatusUnprocessableEntity, "roles", "must name a project by its name or token: "+text)
		}
	}
	return list, nil
}

// deleteUser removes a user.
func (c *call) deleteUser() error {
	err := c.changed(func(k *config.Keys) (*audit.Entry, error) {
		u := k.Users().Find(c.name)
		if u == nil {
			return nil, c.nobody()
		}
		if err := c.may(u.Stamp()); err != nil {
			return nil, err
		}
		entry := &audit.Entry{Action: audit.UserRemove, Target: c.name}
		return entry, k.ChangeUsers(func(users people.List) (people.List, error) { return users.Remove(c.name) })
	})
	if err != nil {
		return err
	}
	return c.gone()
}

// session is a session in an answer.
type session struct {
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
	Address string    `json:"address"` // empty if it is unknown
}

// known returns an error if there is no such user. Somebody with a session is
// known, also an account of a provider, which is no user. So sessions can be
// ended while the configuration is wrong.
func (c *call) known() error {
	if slices.ContainsFunc(c.Sessions(), func(s people.Session) bool { return s.User == c.name }) {
		return nil
	}
	k, err := c.read()
	if err == nil && k.Users().Find(c.name) == nil {
		err = c.nobody()
	}
	return err
}

// listSessions answers with the sessions of a user.
func (c *call) listSessions() error {
	if err := c.known(); err != nil {
		return err
	}
	all := []session{}
	for _, s := range c.Sessions() {
		if s.User == c.name {
			all = append(all, session{s.Since.UTC(), s.Seen.UTC(), s.Expires.UTC(), audit.AddressText(s.Address)})
		}
	}
	return c.answer(http.StatusOK, map[string][]session{"sessions": all})
}

// endSessions ends the sessions of a user.
func (c *call) endSessions() error {
	if err := c.known(); err != nil {
		return err
	}
	c.Audit.Note(&audit.Entry{
		Actor: c.Caller(c.r), Via: audit.API, Address: audit.AddressText(c.from), Action: audit.SessionEnd, Target: c.name, Outcome: audit.Done,
	})
	return c.answer(http.StatusOK, map[string]int{"ended": c.SignOut(c.name)})
}
