package config

import "trackway/internal/people"

// managedUser is a user in the managed file.
type managedUser struct {
	Name     string   `yaml:"name"`
	Password hidden   `yaml:"password"` // its Argon2id
	Roles    []string `yaml:"roles"`
}

// users returns the users of the managed file.
func (d *doc) users() (list people.List) {
	for i := range d.managed.Users {
		m := &d.managed.Users[i]
		u, err := people.NewUser(m.Name, string(m.Password), m.Roles)
		if err == nil {
			list, err = list.Add(u)
		}
		if err != nil {
			d.report(m, "is no user: %v", err)
		}
		switch {
		case !d.given(&m.Password):
			d.missing(m, "needs a password: trackway user password writes it")
		case !people.IsHash(u.Password):
			d.report(&m.Password, "must be what trackway user password writes")
		}
	}
	if at := &d.file.Dashboard.UsersOnly; *at && !list.HasAdmin() {
		d.report(at, "must not be true while no user is an admin: make one first, by trackway user add NAME --role admin")
	}
	return list
}

// ChangeUsers changes the users of the server's pages.
func (k *Keys) ChangeUsers(change func(people.List) (people.List, error)) error {
	next, err := change(k.doc.file.Config.Users)
	if err != nil {
		return err
	}
	k.doc.managed.Users = nil
	for i := range next {
		u := &next[i]
		k.doc.managed.Users = append(k.doc.managed.Users, managedUser{u.Name, hidden(u.Password), u.Roles()})
	}
	return nil
}
