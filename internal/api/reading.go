package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"trackway"
	"trackway/internal/api/consent"
	"trackway/internal/api/permit"
	"trackway/internal/api/room"
	"trackway/internal/canonjson"
	"trackway/internal/catalogue"
	"trackway/internal/contract/book"
	"trackway/internal/format/tracking"
	"trackway/internal/ingest"
	"trackway/internal/query"
	"trackway/internal/suspect"
)

// reading is a call that reads.
type reading struct {
	*call
	*reader
}

// reader is what reading calls need.
type reader struct {
	store     query.Store
	places    places
	answers   *room.Room    // memory
	program   string        // its version
	patience  time.Duration // that a question may take
	types     *catalogue.Set
	suspects  *suspect.Labeler
	contracts *book.Book
}

// errNoCustomer is the error that clients of the data API expect.
var errNoCustomer = &trackway.Error{Code: trackway.NotFound, Msg: "Customer does not exist"}

// errNobody is the refusal of a request without an identifier that can name a
// customer.
var errNobody = &trackway.Error{Code: trackway.Invalid, Field: "customer_ids", Msg: "Must specify at least one customer ID"}

// whom returns the identifiers that can name a customer, at least one.
func (c *reading) whom(ids []trackway.Identifier) ([]trackway.Identifier, *trackway.Error) {
	kept, _, refused := ingest.Classify(c.grant.Project, ids)
	if refused == nil && len(kept) == 0 {
		refused = errNobody
	}
	return kept, refused
}

// find returns the customer that a request names.
func (c *reading) find(s query.Snapshot, ids []trackway.Identifier) (trackway.Customer, error) {
	ids, refused := c.whom(ids)
	if refused != nil {
		return 0, refused
	}
	customer, err := query.Find(s, c.grant.Project.Number, ids)
	if err == nil && customer == 0 {
		return 0, errNoCustomer
	}
	return customer, err
}

// findToRead does what find does, for data that the caller will receive. The
// caller may not name the customer by identifiers that it may not read.
func (c *reading) findToRead(s query.Snapshot, ids []trackway.Identifier) (trackway.Customer, error) {
	named := ids
	if kept, refused := c.whom(ids); refused == nil {
		named = kept // what names nobody tells nothing
	}
	if err := permit.Naming(c.grant.Key, named); err != nil {
		return 0, err
	}
	return c.find(s, ids)
}

// withSnapshot runs do on a snapshot of the store.
func (c *reading) withSnapshot(do func(query.Snapshot) error) error {
	s := c.store.Snapshot()
	err := do(s)
	return errors.Join(err, s.Close())
}

// profile returns the customer that a request for reading names.
func (c *reading) profile(s query.Snapshot, ids []trackway.Identifier) (*trackway.Profile, error) {
	customer, err := c.findToRead(s, ids)
	if err != nil {
		return nil, err
	}
	return s.Profile(c.grant.Project.Number, customer)
}

// exportOne answers with all that is known about one customer.
func (c *reading) exportOne() error {
	ids, refused := tracking.DecodeCustomer(c.body)
	if refused != nil {
		return refused
	}
	return c.streamed(jsonType, func(s query.Snapshot, out *stream) error {
		p, err := c.profile(s, ids)
		if err != nil {
			return err
		}
		p = permit.Visible(c.grant.Key, p)
		out.b = append(out.b, `{"success":true,"ids":`...)
		out.b = canonjson.AppendIDs(out.b, p.IDs)
		out.b = append(out.b, `,"properties":`...)
		out.b = canonjson.AppendObject(out.b, query.Undated(p.Properties))
		return out.events(`,"events":[`, s, p.Customer, query.EventFilter{})
	})
}

// events answers with a customer's events of the requested types.
func (c *reading) events() error {
	q, refused := tracking.DecodeEvents(c.body)
	if refused != nil {
		return refused
	}
	return c.streamed(jsonType, func(s query.Snapshot, out *stream) error {
		customer, err := c.findToRead(s, q.IDs)
		if err != nil {
			return err
		}
		filter := query.EventFilter{Types: q.Types, NewestFirst: q.Descending, Skip: q.Skip, Limit: q.Limit}
		return out.events(`{"success":true,"data":[`, s, customer, filter)
	})
}

// attributes answers with single properties and identifiers of a customer, in
// the requested order.
func (c *reading) attributes() error {
	ids, attributes, refused := tracking.DecodeAttributes(c.body)
	if refused != nil {
		return refused
	}
	var b []byte
	err := c.question(func(ctx context.Context, s query.Snapshot) error {
		p, err := c.profile(s, ids)
		if err != nil {
			return err
		}
		said, err := c.consents(ctx, s, p.Customer, attributes)
		if err != nil {
			return err
		}
		b = append(b, `{"results":[`...)
		for i, a := range attributes {
			if i > 0 {
				b = append(b, ',')
			}
			b = c.appendAttribute(b, p, said, a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, append(b, `],"success":true}`...))
}

// appendAttribute appends the answer for one attribute. An attribute that this
// server does not compute is "Not Found", which clients treat as having no
// value.
func (c *reading) appendAttribute(b []byte, p *trackway.Profile, said map[string]bool, a tracking.Attribute) []byte {
	consented, known := said[a.Name]
	switch {
	case !mayRead(c.grant.Key, a):
		return append(b, `{"success":false,"error":"Not authorized"}`...)
	case a.Type == tracking.ConsentAttribute && known:
		return append(strconv.AppendBool(append(b, `{"success":true,"value":`...), consented), '}')
	case a.Type != tracking.PropertyAttribute && a.Type != tracking.IDAttribute:
		return append(b, `{"success":false,"error":"Not Found"}`...)
	}
	b = append(b, `{"success":true,"value":`...)
	return append(appendValue(b, p, a), '}')
}

// mayRead reports whether a key may read an attribute. Consents need the
// permission for events, because events record them.
func mayRead(key *trackway.Key, a tracking.Attribute) bool {
	switch a.Type {
	case tracking.ConsentAttribute:
		return key.MayName(trackway.GetEvents, consent.Type)
	case tracking.PropertyAttribute, tracking.IDAttribute:
		return permit.Get(key, a.Name)
	}
	return true
}

// appendValue appends the value of a property or an identifier, or null if the
// customer has none.
func appendValue(b []byte, p *trackway.Profile, a tracking.Attribute) []byte {
	if a.Type == tracking.IDAttribute {
		return canonjson.AppendID(b, p.IDs, a.Name)
	}
	for i := range p.Properties {
		if p.Properties[i].Name == a.Name {
			return append(b, p.Properties[i].Value...)
		}
	}
	return append(b, "null"...)
}
