package dashboard

import (
	"fmt"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/audit/listing"
)

// listAudit answers with entries of the audit log, the newest first.
func (q *request) listAudit() error {
	body, err := listing.Answer(q.Audit, q.r.URL.RawQuery)
	if err != nil {
		return err
	}
	return q.send(body)
}

// entry returns an entry of the audit log about what somebody does who is
// signed in.
func (q *request) entry(action audit.Action, target string) *audit.Entry {
	actor := ""
	if q.user != nil {
		actor = q.user.Name
	}
	return q.entryOf(actor, action, target)
}

func (q *request) entryOf(actor string, action audit.Action, target string) *audit.Entry {
	return &audit.Entry{
		Actor: actor, Via: audit.Page, Address: audit.AddressText(q.from), Action: action, Target: target, Outcome: audit.Allowed,
	}
}

// aboutCustomer returns an entry about a customer, who is named by a number.
func (q *request) aboutCustomer(action audit.Action, p *trackway.Project, c trackway.Customer) *audit.Entry {
	e := q.entry(action, fmt.Sprintf("customer %d", c))
	e.Project = p.Name
	return e
}

// signInFailed counts a refused attempt. It keeps a name only if there is a
// user of that name.
func (q *request) signInFailed(name string) {
	if q.facts.Users.Find(name) == nil {
		name = ""
	}
	q.Audit.SignInFailed(audit.Failure{User: name, Address: q.from})
}
