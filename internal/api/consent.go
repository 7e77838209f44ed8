package api

import (
	"context"

	"trackway"
	"trackway/internal/api/consent"
	"trackway/internal/format/tracking"
	"trackway/internal/query"
)

// consentCategories answers what customers of the project may consent to.
func (c *reading) consentCategories() error {
	return c.encoded(consent.ListOf(c.grant.Project))
}

// consents returns whether the customer consents to each of the requested
// categories that the caller may read.
func (c *reading) consents(
	ctx context.Context, s query.Snapshot, customer trackway.Customer, asked []tracking.Attribute,
) (map[string]bool, error) {
	var categories []string
	for _, a := range asked {
		if a.Type == tracking.ConsentAttribute && mayRead(c.grant.Key, a) {
			categories = append(categories, a.Name)
		}
	}
	return consent.Of(ctx, s, c.grant.Project, customer, categories, c.received)
}
