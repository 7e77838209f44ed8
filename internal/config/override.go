package config

import "trackway"

// overrides checks the names in overrides, which only this package knows, and
// translates the rest. internal/limit checks their values with a [Check].
func (d *doc) overrides() []trackway.Override {
	var overrides []trackway.Override
	seen := make(map[string]any)
	for i := range d.file.Overrides {
		o := &d.file.Overrides[i]
		if d.given(&o.Name) {
			d.CheckName(&o.Name, o, "override")
			unique(d, seen, &o.Name)
		}
		if !d.given(&o.Policy) {
			d.missing(o, "needs a policy: the name of a limit")
		}
		d.checkKeyName(&o.Key)
		d.checkAmount(o)
		meant := o.Override
		meant.Project = d.tokenOf(&o.Project)
		overrides = append(overrides, meant)
	}
	return overrides
}

// checkAmount refuses an override without a limit: a forgotten word must not
// block anybody.
func (d *doc) checkAmount(o *override) {
	switch limited := d.given(&o.Limit); {
	case limited && o.Unlimited:
		d.report(&o.Limit, "contradicts unlimited: true")
	case !limited && !o.Unlimited && d.good(&o.Unlimited):
		d.missing(o, "needs a limit (0 blocks) or unlimited: true")
	}
}

// tokenOf returns the token of the project whose name is at an address. It
// returns an empty text if there is no name.
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

// checkKeyName refuses a name that no key has, or that several keys have: it
// would be unclear whose limit this is.
func (d *doc) checkKeyName(name *string) {
	if !d.given(name) {
		return
	}
	var found []any
	for i := range d.file.Projects {
		for _, k := range d.holders[i].keys {
			if k.Name == *name {
				found = append(found, &k.Name)
			}
		}
	}
	switch len(found) {
	case 0:
		d.report(name, "is not the name of a key")
	case 1:
	default:
		d.report(name, "is the name of several keys: %s and %s; rename one", d.Locate(found[0], name), d.Locate(found[1], name))
	}
}
