package passing

import (
	"net/http"
	"net/netip"

	"trackway"
	"trackway/internal/api/permit"
	"trackway/internal/api/position"
	"trackway/internal/auth"
	"trackway/internal/people"
)

// By tells another server who calls, from an address.
func By(g auth.Grant, addr netip.Addr) *Caller {
	by := &Caller{Project: g.Project.Token, Addr: addr}
	if key := g.Key; key != nil {
		by.Key = Key{Name: key.Name, Kind: key.Kind, Permissions: key.Permissions}
	}
	return by
}

// ByUser is By for a user of the pages, whom only another server can answer.
func ByUser(e *people.ElsewhereError, addr netip.Addr) *Caller {
	return &Caller{Project: e.Token, Addr: addr, User: &User{Name: e.User, Role: string(e.Role)}}
}

// Admit makes a call that another server passed on one of its caller. The
// leader gets questions only. A user of the pages gets no key, and is in the
// context of the request that Admit returns.
func (by *Caller) Admit(
	w http.ResponseWriter, r *http.Request, keys *auth.Keys, question bool, needs trackway.Permission,
) (auth.Grant, *http.Request, error) {
	project := keys.Project(by.Project)
	switch {
	case project == nil && by.Holder: // the servers have different configurations
		return auth.Grant{}, r, NotHere(w)
	case !question && !by.Holder || project == nil:
		return auth.Grant{}, r, position.ErrBehind
	case by.User != nil:
		return auth.Grant{}, r.WithContext(people.As(r.Context(), by.User.Name, by.Project, people.Role(by.User.Role))), nil
	}
	g := auth.Grant{Project: project, Key: &trackway.Key{Name: by.Key.Name, Kind: by.Key.Kind, Permissions: by.Key.Permissions}}
	if needs != "" && !g.Key.May(needs) {
		return g, r, permit.Missing(needs)
	}
	return g, r, nil
}
