package config

import (
	"slices"

	"trackway"
)

// overrides checks and translates the overrides, after the projects and the limits that they name.
func (d *doc) overrides() []trackway.Override {
	f := &d.file
	seen := make(map[trackway.Override]any)
	var overrides []trackway.Override
	for i := range f.Overrides {
		o := &f.Overrides[i]
		d.checkOverride(o)
		domain := trackway.Override{
			Policy: o.Policy, Address: o.Address, Project: d.tokenOf(&o.Project), Key: o.Key,
			Limit: o.Limit, Unlimited: o.Unlimited, Until: o.Until,
		}
		overrides = append(overrides, domain)
		d.uniqueOverride(seen, o)
	}
	return overrides
}

func (d *doc) checkOverride(o *override) {
	switch {
	case !d.given(&o.Policy):
		d.missing(o, "needs a policy: the name of a limit")
	case d.policyNamed(o.Policy) == nil:
		d.report(&o.Policy, "is not the name of a limit")
	}
	if d.count(&o.Address, &o.Project, &o.Key) != 1 {
		d.missing(o, "needs exactly one of address, project and key")
	}
	d.checkKeyName(&o.Key)
	switch limited := d.given(&o.Limit); {
	case limited && o.Unlimited:
		d.report(&o.Limit, "contradicts unlimited: true")
	case !limited && !o.Unlimited && d.good(&o.Unlimited):
		d.missing(o, "needs a limit (0 blocks) or unlimited: true")
	}
}

func (d *doc) count(at ...any) int {
	return len(slices.DeleteFunc(at, func(at any) bool { return !d.given(at) }))
}

// tokenOf returns the token of the project that is named at an address, or nothing where none is named.
func (d *doc) tokenOf(name *string) string {
	if !d.given(name) {
		return ""
	}
	for _, p := range d.file.Projects {
		if p.Name == *name {
			return p.Token
		}
	}
	d.report(name, "is not the name of a project")
	return ""
}

// checkKeyName refuses a name that no key has, or several have: it would be unclear whose limit this is.
func (d *doc) checkKeyName(name *string) {
	if !d.given(name) {
		return
	}
	var found []any
	for i := range d.file.Projects {
		keys := d.file.Projects[i].Keys
		for j := range keys {
			if keys[j].Name == *name {
				found = append(found, &keys[j].Name)
			}
		}
	}
	switch len(found) {
	case 0:
		d.report(name, "is not the name of a key")
	case 1:
	default:
		d.report(name, "is the name of several keys: %s and %s; rename one", d.where(found[0]), d.where(found[1]))
	}
}

// uniqueOverride refuses a second override of a policy for the same callers: neither is nearer to them.
func (d *doc) uniqueOverride(seen map[trackway.Override]any, o *override) {
	whom := trackway.Override{Policy: o.Policy, Address: o.Address, Project: o.Project, Key: o.Key}
	if d.count(&o.Address, &o.Project, &o.Key) != 1 || !d.good(&o.Policy, &o.Address, &o.Project, &o.Key) {
		return // it is unclear whom it is for
	}
	if before, ok := seen[whom]; ok {
		d.report(o, "is for the same policy and callers as %s", d.where(before))
		return
	}
	seen[whom] = o
}
