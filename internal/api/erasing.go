package api

import (
	"context"
	"errors"
	"net/http"

	"trackway"
	"trackway/internal/format/tracking"
	"trackway/internal/piecewise"
	"trackway/internal/query"
)

// erasing is a call about erasures.
type erasing struct {
	*reading

	eraser Eraser
}

// anonymize erases a customer's identity. The events stay.
func (c *erasing) anonymize() error {
	ids, refused := tracking.DecodeCustomer(c.body)
	if refused != nil {
		return refused
	}
	done, err := c.erase(ids)
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, done)
}

// anonymizeBulk erases the identities of several customers, and answers for
// each as if its request had been sent alone. If the server fails, those
// already erased stay erased, and the client can send the whole request again.
func (c *erasing) anonymizeBulk() error {
	customers, refused := tracking.DecodeCustomers(c.body)
	c.sent.Decoded()
	if refused != nil {
		return refused
	}
	b := append([]byte(nil), `{"results":[`...)
	for i, ids := range customers {
		if err := c.r.Context().Err(); err != nil {
			return err
		}
		if i > 0 {
			b = append(b, ',')
		}
		piecewise.KeepAlive(c.w)
		done, err := c.erase(ids)
		if known := (*trackway.Error)(nil); errors.As(err, &known) {
			done = tracking.AppendFieldError(nil, known)
		} else if err != nil {
			return err
		}
		b = append(b, done...)
	}
	return c.answer(http.StatusOK, append(b, `],"success":true}`...))
}

// erase erases a customer's identity and returns the answer. Few customers are
// erased at the same time, and those of a list one after another, so that a
// long list does not hold up a short one.
func (c *erasing) erase(ids []trackway.Identifier) (done []byte, err error) {
	err = c.in(c.places.erasures, func(context.Context) error {
		var customer trackway.Customer
		err := c.withSnapshot(func(s query.Snapshot) (err error) {
			customer, err = c.find(s, ids)
			return err
		})
		if err != nil {
			return err
		}
		span := c.span.Child("erase")
		err = c.audit.Do(c.erasesCustomer(customer), func() error {
			erasure, err := c.eraser.Erase(c.grant.Project.Number, customer, c.grant.Project.Personal, trackway.MicrosOf(c.received))
			done = tracking.AppendErased(nil, erasure.ID)
			return err
		})
		span.End(err != nil)
		return err
	})
	return done, err
}
