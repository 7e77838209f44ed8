package config

import (
	"slices"
	"strings"

	"trackway"
	"trackway/internal/config/document"
)

// permissionForms are the permissions as they are written. Those about
// customers and events may be followed by a colon and a name.
var permissionForms = []trackway.Permission{
	trackway.SetCustomers, trackway.GetCustomers, trackway.SetEvents, trackway.GetEvents, trackway.GDPR, trackway.Admin,
}

// permissions checks and translates the permissions of a key. It returns nil if
// the file gives none.
func (r keyring) permissions(k *key) map[trackway.Permission][]string {
	if !r.given(&k.Permissions) {
		return nil
	}
	if len(k.Permissions) == 0 {
		r.report(&k.Permissions, "needs at least one permission; without %q the key may do what its kind does", "permissions")
	}
	permissions := make(map[trackway.Permission][]string)
	whole := make(map[trackway.Permission]any) // the place of each unrestricted permission
	seen := make(map[string]any)
	for i := range k.Permissions {
		at := &k.Permissions[i]
		unique(r.doc, seen, at)
		p, name, ok := r.permission(k, at)
		switch {
		case !ok:
		case name == "":
			permissions[p], whole[p] = nil, at
		case whole[p] == nil:
			permissions[p] = append(permissions[p], name)
		}
	}
	for i := range k.Permissions {
		at := &k.Permissions[i]
		p, _, _ := splitPermission(*at)
		if all := whole[p]; all != nil && string(p) != *at {
			r.report(at, "is contained in %s", r.Locate(all, at))
		}
	}
	return permissions
}

// permission checks one permission. It also returns the name that the
// permission is restricted to.
func (r keyring) permission(k *key, at *string) (p trackway.Permission, name string, ok bool) {
	p, name, restricted := splitPermission(*at)
	most, named := trackway.MaxNameBytes, "property"
	if p == trackway.SetEvents || p == trackway.GetEvents {
		most, named = trackway.MaxTypeBytes, "type of event"
	}
	switch {
	case !r.good(at):
	case !slices.Contains(permissionForms, p):
		r.report(at, "must be %s, those of customers and events perhaps with a name (%s:first_name)", document.Listed(permissionForms), trackway.GetCustomers)
	case restricted && (p == trackway.GDPR || p == trackway.Admin):
		r.report(at, "must be %s alone: it cannot be restricted", p)
	case restricted && (name == "" || len(name) > most):
		r.report(at, "must name a %s in 1 to %d bytes; to allow all, leave out the colon", named, most)
	case k.Kind == trackway.PublicKey && p != trackway.SetCustomers && p != trackway.SetEvents:
		r.report(at, "is for private keys: everybody can see a public key, so it may only have %s and %s", trackway.SetCustomers, trackway.SetEvents)
	default:
		return p, name, true
	}
	return p, name, false
}

// splitPermission separates a permission from the name that it is restricted
// to, as in customers:get:first_name.
func splitPermission(s string) (p trackway.Permission, name string, restricted bool) {
	for _, p := range permissionForms {
		if rest, ok := strings.CutPrefix(s, string(p)); ok && (rest == "" || rest[0] == ':') {
			name, restricted = strings.CutPrefix(rest, ":")
			return p, name, restricted
		}
	}
	return trackway.Permission(s), "", false
}
