package config

import "trackway"

// consents checks and translates the consent categories of a project.
func (r keyring) consents(categories []consentCategory) []trackway.ConsentCategory {
	var domain []trackway.ConsentCategory
	seen := make(map[string]any)
	for i := range categories {
		c := &categories[i]
		switch n := len(c.ID); {
		case !r.given(&c.ID):
			r.missing(c, "needs an id, which events of type consent have as their category")
		case n == 0 || n > trackway.MaxNameBytes:
			r.report(&c.ID, "must be 1 to %d bytes", trackway.MaxNameBytes)
		}
		unique(r.doc, seen, &c.ID)
		if c.Name == "" {
			c.Name = c.ID
		}
		domain = append(domain, trackway.ConsentCategory(*c))
	}
	return domain
}
