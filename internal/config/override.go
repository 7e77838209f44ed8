package config

import "trackway"

// overrides checks the names that overrides hold, which nobody else knows, and translates them. What is left to check is
// internal/limit's, by a [Check].
func (d *doc) overrides() []trackway.Override {
	var overrides []trackway.Override
	for i := range d.file.Overrides {
		o := &d.file.Overrides[i]
		if !d.given(&o.Policy) {
			d.missing(o, "needs a policy: the name of a limit")
		}
		d.checkKeyName(&o.Key)
		d.checkAmount(o)
		meant := *o
		meant.Project = d.tokenOf(&o.Project)
		overrides = append(overrides, meant)
	}
	return overrides
}

// checkAmount refuses an override without a limit: nobody should be blocked for want of a word.
func (d *doc) checkAmount(o *trackway.Override) {
	switch limited := d.given(&o.Limit); {
	case limited && o.Unlimited:
		d.report(&o.Limit, "contradicts unlimited: true")
	case !limited && !o.Unlimited && d.good(&o.Unlimited):
		d.missing(o, "needs a limit (0 blocks) or unlimited: true")
	}
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
		d.report(name, "is the name of several keys: %s and %s; rename one", d.where(found[0], name), d.where(found[1], name))
	}
}
