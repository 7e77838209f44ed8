// Package people says who may use the server's own pages, and what each of them
// may do there. A user has a role for all projects, or roles in some of them. A
// role includes those below it. The package reads and writes no files: the
// users are in the file that the program owns (internal/config).
package people

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"trackway"
)

// Role is what a user may do.
type Role string

// The roles, the least first. Each may do everything that those before it may.
const (
	Nobody   Role = ""         // nothing
	Viewer   Role = "viewer"   // see the pages without what names a customer
	Analyst  Role = "analyst"  // see everything, and export it
	Operator Role = "operator" // change limits, destinations and keys, and erase
	Admin    Role = "admin"    // manage the users; only for all projects
)

// Roles are the roles, the least first.
func Roles() []Role { return []Role{Viewer, Analyst, Operator, Admin} }

func (r Role) rank() int { return slices.Index(Roles(), r) }

// Includes reports whether somebody with the role r may do what least may.
func (r Role) Includes(least Role) bool { return r.rank() >= least.rank() }

func greater(a, b Role) Role {
	if a.Includes(b) {
		return a
	}
	return b
}

// User is somebody who signs in: with a name and a password, or as an account
// of a provider.
type User struct {
	Name     string          // that of an account has a colon, and is the name of no user
	Password string          // as [Hash] returns it; empty for an account
	All      Role            // for all projects
	In       map[string]Role // in some projects, by their token; never changed
	Account  *Account        // nil: no provider vouches for this user
}

// Everything is the user that the one password of the configuration stands for.
var Everything = &User{All: Admin}

// RoleIn returns the user's role in a project.
func (u *User) RoleIn(token string) Role { return greater(u.All, u.In[token]) }

// Most returns the greatest of the user's roles.
func (u *User) Most() Role {
	most := u.All
	for _, r := range u.In {
		most = greater(most, r)
	}
	return most
}

// Roles returns the user's roles as they are written: a role for all projects,
// or ROLE:TOKEN.
func (u *User) Roles() []string {
	var list []string
	if u.All != Nobody {
		list = append(list, string(u.All))
	}
	for _, token := range slices.Sorted(maps.Keys(u.In)) {
		list = append(list, string(u.In[token])+":"+token)
	}
	return list
}

// Stamp is a text that changes with the user's password and roles. A session
// holds as long as it stays the same.
func (u *User) Stamp() string {
	if u.Account != nil {
		return u.Key() + "\n" + u.Account.Terms + "\n" + strings.Join(u.Roles(), "\n")
	}
	return u.Name + "\n" + u.Password + "\n" + strings.Join(u.Roles(), "\n")
}

// NewUser returns a user with the roles that a list of texts names.
func NewUser(name, password string, roles []string) (User, error) {
	return (&User{Name: name, Password: password}).WithRoles(roles)
}

// WithRoles returns a copy of the user with the roles that a list of texts
// names. The greatest of several for the same projects counts.
func (u *User) WithRoles(roles []string) (User, error) {
	next := User{Name: u.Name, Password: u.Password, In: make(map[string]Role)}
	err := next.give(roles)
	return next, err
}

func (u *User) give(roles []string) error {
	if err := u.add(roles); err != nil {
		return err
	}
	if len(roles) == 0 || len(roles) > mostRoles {
		return refuse("roles", fmt.Sprintf("1 to %d roles", mostRoles))
	}
	return nil
}

func (u *User) add(roles []string) error {
	for _, text := range roles {
		word, token, in := strings.Cut(text, ":")
		role := Role(word)
		switch {
		case !slices.Contains(Roles(), role):
			return refuse("roles", "viewer, analyst, operator or admin, or one of the first three in a project, as in analyst:TOKEN")
		case in && role == Admin:
			return refuse("roles", "admin without a project: an admin manages the users of all of them")
		case in && token == "":
			return refuse("roles", "the token of a project after the colon")
		case in:
			u.In[token] = greater(u.In[token], role)
		default:
			u.All = greater(u.All, role)
		}
	}
	return nil
}

// most bounds the users, their roles and the length of their names.
const (
	MostUsers = 500
	mostRoles = 100
	mostName  = 64
)

// CheckName returns why a text cannot be the name of a user, or nil.
func CheckName(name string) error {
	allowed := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.@+", c)
	}
	if name == "" || len(name) > mostName || strings.ContainsFunc(name, func(c rune) bool { return !allowed(c) }) {
		return refuse("name", fmt.Sprintf("1 to %d small letters, digits, and - _ . @ +", mostName))
	}
	return nil
}

func refuse(field, expected string) error {
	return &trackway.Error{Code: trackway.Invalid, Field: field, Msg: "Field '" + field + "': expected " + expected + "."}
}

// List is the users of a server. The functions that change one return a copy.
type List []User

// Find returns a user, or nil.
func (l List) Find(name string) *User {
	if i := l.index(name); i >= 0 {
		return &l[i]
	}
	return nil
}

func (l List) index(name string) int {
	return slices.IndexFunc(l, func(u User) bool { return u.Name == name })
}

// HasAdmin reports whether any of the users is an admin.
func (l List) HasAdmin() bool {
	return slices.ContainsFunc(l, func(u User) bool { return u.All == Admin })
}

// Add adds a user.
func (l List) Add(u User) (List, error) {
	switch {
	case l.index(u.Name) >= 0:
		return nil, &trackway.Error{Code: trackway.Forbidden, Field: "name", Msg: "There is a user " + u.Name + " already."}
	case len(l) >= MostUsers:
		return nil, &trackway.Error{Code: trackway.Forbidden, Field: "name", Msg: fmt.Sprintf("There are %d users, the maximum.", MostUsers)}
	}
	if err := CheckName(u.Name); err != nil {
		return nil, err
	}
	return append(slices.Clone(l), u), nil
}

// Change changes a user.
func (l List) Change(name string, change func(User) (User, error)) (List, error) {
	i := l.index(name)
	if i < 0 {
		return nil, unknown(name)
	}
	next := slices.Clone(l)
	var err error
	next[i], err = change(l[i])
	return next, err
}

// Remove removes a user.
func (l List) Remove(name string) (List, error) {
	i := l.index(name)
	if i < 0 {
		return nil, unknown(name)
	}
	return slices.Concat(l[:i], l[i+1:]), nil
}

func unknown(name string) error {
	if CheckName(name) != nil {
		name = "of that name"
	}
	return &trackway.Error{Code: trackway.NotFound, Field: "name", Msg: "There is no user " + name + "."}
}
