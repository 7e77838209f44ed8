package dashboard

import (
	"encoding/json"
	"strings"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/audit"
	"trackway/internal/people"
)

// userRow is a user in the list.
type userRow struct {
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	Sessions int      `json:"sessions"`
}

// listUsers answers with all users.
func (q *request) listUsers() error {
	count := make(map[string]int)
	for _, o := range q.Sessions() {
		count[o.User]++
	}
	rows := make([]userRow, len(q.facts.Users))
	for i := range q.facts.Users {
		u := &q.facts.Users[i]
		rows[i] = userRow{u.Name, u.Roles(), count[u.Name]}
	}
	return q.answer(struct {
		Users []userRow `json:"users"`
		Only  bool      `json:"users_only"`
	}{rows, q.facts.Password == [32]byte{}})
}

// change is a change of a user, as an admin sends it.
type change struct {
	name     string
	roles    []string // nil: they stay as they are
	password *string  // nil: it stays as it is
}

// read reads a change. Its roles may only name projects that are configured.
func (q *request) read() (c change, err error) {
	var sent struct {
		Name     string          `json:"name"`
		Roles    json.RawMessage `json:"roles"` // raw, to distinguish null from nothing
		Password json.RawMessage `json:"password"`
	}
	if err := json.NewDecoder(q.r.Body).Decode(&sent); err != nil || people.CheckName(sent.Name) != nil {
		return c, ask.Invalid("name", "the name of a user in a JSON object: small letters, digits, and - _ . @ +")
	}
	c.name = sent.Name
	if sent.Roles != nil && (json.Unmarshal(sent.Roles, &c.roles) != nil || c.roles == nil) {
		return c, ask.Invalid("roles", "a list of texts")
	}
	var ok bool
	if c.password, ok = optionalText(sent.Password); !ok {
		return c, ask.Invalid("password", "a string")
	}
	for _, role := range c.roles {
		if _, token, in := strings.Cut(role, ":"); in && q.facts.byToken[token] == nil {
			return c, &trackway.Error{Code: trackway.NotFound, Field: "roles", Msg: "There is no such project."}
		}
	}
	return c, nil
}

// addUser adds a user.
func (q *request) addUser() error {
	c, err := q.read()
	if err != nil {
		return err
	}
	if c.password == nil {
		return ask.Invalid("password", "a string")
	}
	user, err := people.NewUser(c.name, "", c.roles)
	if err != nil {
		return err
	}
	if user.Password, err = q.hashed(c.name, *c.password); err != nil {
		return err
	}
	return q.changed(q.changeOf(audit.UserAdd, user.Name, user.Roles()), func(users people.List) (people.List, error) { return users.Add(user) })
}

// changeUser gives a user other roles, another password, or both.
func (q *request) changeUser() error {
	c, err := q.read()
	if err != nil {
		return err
	}
	if q.facts.Users.Find(c.name) == nil {
		_, err := q.facts.Users.Remove(c.name)
		return err
	}
	hash := ""
	if c.password != nil {
		if hash, err = q.hashed(c.name, *c.password); err != nil {
			return err
		}
	}
	e := q.changeOf(audit.UserChange, c.name, c.roles)
	switch {
	case c.roles == nil:
		e.Action = audit.UserPassword
	case hash != "":
		e.Detail += "; and another password"
	}
	return q.changed(e, func(users people.List) (people.List, error) {
		return users.Change(c.name, func(u people.User) (people.User, error) {
			if hash != "" {
				u.Password = hash
			}
			if c.roles == nil {
				return u, nil
			}
			return u.WithRoles(c.roles)
		})
	})
}

// removeUser removes a user.
func (q *request) removeUser() error {
	name := q.param("name")
	return q.changed(q.entry(audit.UserRemove, name), func(users people.List) (people.List, error) { return users.Remove(name) })
}

// changeOf returns an entry about a user who gets roles.
func (q *request) changeOf(action audit.Action, name string, roles []string) *audit.Entry {
	e := q.entry(action, name)
	var list []string
	for _, text := range roles {
		role, token, in := strings.Cut(text, ":")
		if p := q.facts.byToken[token]; in && p != nil {
			role += ":" + p.Name
		}
		list = append(list, role)
	}
	e.Detail = strings.Join(list, " ")
	return e
}

// changeUsers changes the users, if that can be recorded. It does not record a
// change that is refused.
func (q *request) changeUsers(e *audit.Entry, change func(people.List) (people.List, error)) error {
	recorded := false
	err := q.ChangeUsers(q.r.Context(), func(users people.List) (people.List, error) {
		next, err := change(users)
		if err == nil {
			err = q.Audit.Add(e)
			recorded = err == nil
		}
		return next, err
	})
	if recorded {
		return q.Audit.Failed(e, err)
	}
	return err
}

// changed changes the users, if the one who asks is still an admin: others may
// have changed that while this request waited for its turn.
func (q *request) changed(e *audit.Entry, change func(people.List) (people.List, error)) error {
	err := q.changeUsers(e, func(users people.List) (people.List, error) {
		if now := users.Find(q.user.Name); q.user != people.Everything && (now == nil || now.Stamp() != q.user.Stamp()) {
			return nil, errSignIn
		}
		return change(users)
	})
	if err != nil {
		return err
	}
	return q.answer(done{true})
}

// sessionRow is a session in the list.
type sessionRow struct {
	ID      string  `json:"id"`
	User    string  `json:"user"`
	Since   seconds `json:"since"`
	Seen    seconds `json:"seen"`
	Expires seconds `json:"expires"`
	Address string  `json:"address"`
	Own     bool    `json:"own"` // it is the one that asks
}

// mine reports whether the user may see and end a session: an admin may with
// all of them, and others with their own.
func (q *request) mine(o *people.Session) bool {
	return q.user.All == people.Admin || o.User == q.user.Name
}

// listSessions answers with the user's sessions, and an admin with all.
func (q *request) listSessions() error {
	rows := []sessionRow{}
	for _, o := range q.sessions.List(q.now, q.mine) {
		rows = append(rows, sessionRow{
			o.ID, o.User, secondsOf(o.Since), secondsOf(o.Seen), secondsOf(o.Expires), addressText(o.Address), o.ID == q.session.ID,
		})
	}
	return q.answer(struct {
		Sessions []sessionRow `json:"sessions"`
	}{rows})
}

// endSession ends the session with an id, or all those of a user: by default of
// the one who asks.
func (q *request) endSession() error {
	id, name := q.param("id"), q.param("user")
	if id != "" {
		of := ""
		if q.sessions.End(func(o *people.Session) bool {
			mine := o.ID == id && q.mine(o)
			if mine {
				of = o.User
			}
			return mine
		}) == 0 {
			return &trackway.Error{Code: trackway.NotFound, Field: "id", Msg: "There is no such session."}
		}
		return q.sessionsEnded(of, 1)
	}
	if name == "" {
		name = q.user.Name
	}
	if name != q.user.Name && q.user.All != people.Admin {
		return &trackway.Error{Code: trackway.Forbidden, Msg: "This needs the role admin for all projects."}
	}
	if name != "" && q.facts.Users.Find(name) == nil {
		_, err := q.facts.Users.Remove(name)
		return err
	}
	return q.sessionsEnded(name, q.SignOut(name))
}

// sessionsEnded records it, and answers.
func (q *request) sessionsEnded(user string, count int) error {
	if count > 0 {
		e := q.entry(audit.SessionEnd, user)
		e.Outcome, e.Count = audit.Done, uint64(count)
		q.Audit.Note(e)
	}
	return q.answer(done{true})
}
