package auth

import (
	"time"

	"trackway"
)

// Operator checks the credentials of a call that concerns the server, not a
// project. A key of any project will do. Clients of the API know its errors.
func (k *Keys) Operator(now time.Time, authorization string) (Grant, *trackway.Error) {
	worst := errNoKey
	for _, p := range k.projects {
		key, err := p.key(now, authorization, "")
		switch {
		case err == nil:
			return Grant{Project: &p.Project, Key: key}, nil
		case err == errSecret, worst == errNoKey: // report the most specific reason
			worst = err
		}
	}
	return Grant{}, worst
}
