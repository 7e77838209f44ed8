package auth

import "trackway"

// Operator checks the credentials of a call that is about the server and not about a project: a key of any project will do. The
// error is one that clients of the API know.
func (k *Keys) Operator(authorization string) (Grant, *trackway.Error) {
	worst := errNoKey
	for _, p := range k.projects {
		key, err := p.key(authorization, "")
		switch {
		case err == nil:
			return Grant{Project: &p.Project, Key: key}, nil
		case err == errSecret, worst == errNoKey: // the reason that says most
			worst = err
		}
	}
	return Grant{}, worst
}
