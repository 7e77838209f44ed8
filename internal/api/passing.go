package api

import (
	"context"
	"errors"
	"net/http"

	"trackway/internal/api/passing"
	"trackway/internal/api/position"
	"trackway/internal/api/traced"
)

const (
	maxPassed = 32  // questions that the leader answers, for this server
	maxAway   = 256 // calls that other servers carry out, because they hold the data
	maxStream = 24  // live pages that other servers answer for the same reason
)

// await waits until this server may answer. If it cannot, the leader answers:
// done is then true.
func (c *call) await(ctx context.Context) (done bool, err error) {
	shared, uri := traced.Shared(c.shared.Of(c.grant.Project), c.span), c.r.URL.RequestURI()
	asked := c.r.URL.RawQuery
	err = position.Await(ctx, shared, c.r)
	if !errors.Is(err, position.ErrBehind) || position.Stays(ctx) {
		return false, err
	}
	if done, err := c.pass(ctx, shared.Leader(), uri); done || err != nil {
		return done, err
	}
	c.r.URL.RawQuery = asked
	return false, position.Await(position.Stay(ctx), shared, c.r) // perhaps there is another leader soon
}

// pass has the leader answer the call. If it does not, done is false.
func (c *call) pass(ctx context.Context, leader http.RoundTripper, uri string) (done bool, err error) {
	if !c.passed.TryEnter(c.ask.Addr) {
		return false, nil
	}
	defer c.passed.Leave(c.ask.Addr)
	caller := passing.By(c.grant, c.ask.Addr)
	span := c.span.Child("ask the leader")
	status, done, err := passing.Pass(ctx, leader, c.w, c.r, uri, c.body, caller, c.giveBack)
	span.End(err != nil)
	if !done {
		return false, nil // this server waits on, and says so if that does not help
	}
	c.status = status
	return true, err
}

// atHolder has another server carry the call out if it holds the data of a
// project, and this one does not.
func (c *call) atHolder(ctx context.Context, project uint32, by *passing.Caller) (done bool, err error) {
	if c.away.Holds(project) {
		return false, nil
	}
	span := c.span.Child("ask a holder")
	status, done, err := c.away.Carry(ctx, project, &passing.Call{
		W: c.w, R: c.r, Body: c.body, By: c.by, Safe: c.route.current || c.r.Method != http.MethodPost, Stream: c.route.stream, Free: c.giveBack,
	}, by)
	span.End(err != nil)
	if done {
		c.status = status
	}
	return done, err
}

// Passed returns the handler for calls that other members pass on. They were
// counted, and let in, where the client has asked.
func (s *Server) Passed() http.Handler { return passing.Handler(s) }
