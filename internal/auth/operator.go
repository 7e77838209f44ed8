package auth

import (
	"cmp"
	"time"

	"trackway"
)

var errAdmin = &trackway.Error{Code: trackway.Forbidden, Field: "Authorization", Msg: "This needs a key of the server, which belongs to no project"}

// Administrator checks the credentials of a call that changes the server's
// configuration. Only a key of the server will do.
func (k *Keys) Administrator(now time.Time, authorization string) (Grant, *trackway.Error) {
	key, err := k.server.key(now, authorization, "")
	if err == nil {
		return Grant{Project: &k.server.Project, Key: key}, nil
	}
	if _, of := k.Operator(now, authorization); of == nil || of == errSecret && err != errSecret {
		return Grant{}, cmp.Or(of, errAdmin)
	}
	return Grant{}, err
}

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
