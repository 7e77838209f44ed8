package auth

import (
	"time"

	"trackway"
)

// Operator checks the credentials of a call that is about the server and not
// about a project: a key of any project will do. Clients of the API know its
// errors.
func (k *Keys) Operator(now time.Time, authorization string) (Grant, *trackway.Error) {
	worst := errNoKey
	for _, p := range k.projects {
		key, err := p.key(now, authorization, "")
		switch {
		case err == nil:
			return Grant{Project: &p.Project, Key: key}, nil
		case err == errSecret, worst == errNoKey: // the reason that says most
			worst = err
		}
	}
	return Grant{}, worst
}
