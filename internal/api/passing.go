package api

import (
	"context"
	"errors"
	"net/http"

	"trackway"
	"trackway/internal/api/passing"
	"trackway/internal/api/permit"
	"trackway/internal/api/position"
	"trackway/internal/api/traced"
)

const maxPassed = 32 // questions that the leader answers, for this server

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
	key := c.grant.Key
	caller := &passing.Caller{
		Project: c.grant.Project.Token, Addr: c.ask.Addr,
		Key: passing.Key{Name: key.Name, Kind: key.Kind, Permissions: key.Permissions},
	}
	span := c.span.Child("ask the leader")
	status, done, err := passing.Pass(ctx, leader, c.w, c.r, uri, c.body, caller, c.giveBack)
	span.End(err != nil)
	if !done {
		return false, nil // this server waits on, and says so if that does not help
	}
	c.status = status
	return true, err
}

// takeOver makes the caller of a call that another server passed on that of
// this call. Only questions are passed on.
func (c *call) takeOver(by *passing.Caller) error {
	project := c.access.Keys.Project(by.Project)
	if !c.route.current || project == nil {
		return position.ErrBehind // the servers have different configurations
	}
	c.grant.Project, c.ask.Addr = project, by.Addr
	c.grant.Key = &trackway.Key{Name: by.Key.Name, Kind: by.Key.Kind, Permissions: by.Key.Permissions}
	if p := c.route.needs; p != "" && !c.grant.Key.May(p) {
		return permit.Missing(p)
	}
	return nil
}

// Passed returns the handler for questions that other members pass on. They
// were counted, and let in, where the client has asked.
func (s *Server) Passed() http.Handler { return passing.Handler(s) }
