package api

import (
	"errors"
	"net/http"

	"trackway"
	"trackway/internal/ingest"
	"trackway/internal/query"
	"trackway/internal/wire"
)

// errNoCustomer is what clients of the data API know.
var errNoCustomer = &trackway.Error{Code: trackway.NotFound, Msg: "Customer does not exist"}

// find returns the customer that a request for reading names.
func (c *call) find(s query.Snapshot, ids []trackway.Identifier) (trackway.Customer, error) {
	ids, refused := ingest.Classify(c.grant.Project, ids)
	if refused != nil {
		return 0, refused
	}
	customer, err := query.Find(s, c.grant.Project.Number, ids)
	if err == nil && customer == 0 {
		return 0, errNoCustomer
	}
	return customer, err
}

// withSnapshot runs do on a snapshot of the store.
func (c *call) withSnapshot(do func(query.Snapshot) error) error {
	s := c.Store.Snapshot()
	err := do(s)
	return errors.Join(err, s.Close())
}

// withProfile runs do on the customer that a request for reading names.
func (c *call) withProfile(ids []trackway.Identifier, do func(query.Snapshot, *trackway.Profile) error) error {
	return c.withSnapshot(func(s query.Snapshot) error {
		customer, err := c.find(s, ids)
		if err != nil {
			return err
		}
		p, err := s.Profile(c.grant.Project.Number, customer)
		if err != nil {
			return err
		}
		return do(s, p)
	})
}

// exportOne answers all that is known about one customer.
func (c *call) exportOne() error {
	ids, refused := wire.DecodeCustomer(c.body)
	if refused != nil {
		return refused
	}
	return c.withProfile(ids, func(s query.Snapshot, p *trackway.Profile) error {
		out := c.stream()
		out.b = append(out.b, `{"success":true,"ids":`...)
		out.b = wire.AppendIDs(out.b, p.IDs)
		out.b = append(out.b, `,"properties":`...)
		out.b = wire.AppendObject(out.b, properties(p))
		return out.events(`,"events":[`, s, p.Customer, query.EventFilter{})
	})
}

func properties(p *trackway.Profile) []trackway.Property {
	out := make([]trackway.Property, len(p.Properties))
	for i := range p.Properties {
		out[i] = p.Properties[i].Property
	}
	return out
}

// events answers a customer's events of the types asked for.
func (c *call) events() error {
	q, refused := wire.DecodeEvents(c.body)
	if refused != nil {
		return refused
	}
	return c.withSnapshot(func(s query.Snapshot) error {
		customer, err := c.find(s, q.IDs)
		if err != nil {
			return err
		}
		filter := query.EventFilter{Types: q.Types, NewestFirst: q.Descending, Skip: q.Skip, Limit: q.Limit}
		return c.stream().events(`{"success":true,"data":[`, s, customer, filter)
	})
}

// attributes answers single properties and identifiers of a customer, in the order asked for.
func (c *call) attributes() error {
	ids, attributes, refused := wire.DecodeAttributes(c.body)
	if refused != nil {
		return refused
	}
	return c.withProfile(ids, func(_ query.Snapshot, p *trackway.Profile) error {
		b := append([]byte(nil), `{"results":[`...)
		for i, a := range attributes {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendAttribute(b, p, a)
		}
		return c.answer(http.StatusOK, append(b, `],"success":true}`...))
	})
}

// appendAttribute appends the answer for one attribute. What this server does not compute is "Not Found", which clients take
// for an attribute that has no value.
func appendAttribute(b []byte, p *trackway.Profile, a wire.Attribute) []byte {
	if a.Name == "" {
		return append(b, `{"success":false,"error":"Not Found"}`...)
	}
	b = append(b, `{"success":true,"value":`...)
	return append(appendValue(b, p, a), '}')
}

// appendValue appends the value of a property or an identifier, null where the customer has none.
func appendValue(b []byte, p *trackway.Profile, a wire.Attribute) []byte {
	if a.Type == wire.IDAttribute {
		return wire.AppendID(b, p.IDs, a.Name)
	}
	for i := range p.Properties {
		if p.Properties[i].Name == a.Name {
			return append(b, p.Properties[i].Value...)
		}
	}
	return append(b, "null"...)
}

// anonymize erases who a customer is. The events stay.
func (c *call) anonymize() error {
	ids, refused := wire.DecodeCustomer(c.body)
	if refused != nil {
		return refused
	}
	var customer trackway.Customer
	err := c.withSnapshot(func(s query.Snapshot) (err error) {
		customer, err = c.find(s, ids)
		return err
	})
	if err != nil {
		return err
	}
	erasure, err := c.Eraser.Erase(c.grant.Project.Number, customer, c.grant.Project.Personal, trackway.MicrosOf(c.received))
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, appendErased(nil, erasure))
}
