package api

import (
	"strconv"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/audit/listing"
)

// listAudit answers with entries of the audit log, the newest first.
func (c *call) listAudit() error {
	body, err := listing.Answer(c.audit, c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	return c.answerTagged("", nil, body)
}

// entry returns an entry of the audit log about what a key does.
func (c *call) entry(action audit.Action) *audit.Entry {
	e := &audit.Entry{Via: audit.API, Address: audit.AddressText(c.ask.Addr), Action: action, Outcome: audit.Allowed}
	if k := c.grant.Key; k != nil {
		e.Actor = k.Name
	}
	if p := c.grant.Project; p != nil {
		e.Actor += " of " + p.Name
		if !c.route.server {
			e.Project = p.Name
		}
	}
	return e
}

// erasesCustomer returns an entry about a customer, who is named by a number.
func (c *call) erasesCustomer(customer trackway.Customer) *audit.Entry {
	e := c.entry(audit.DataAnonymize)
	e.Target = "customer " + strconv.FormatUint(uint64(customer), 10)
	return e
}
