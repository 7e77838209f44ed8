package api

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/api/body"
	"trackway/internal/api/cors"
	"trackway/internal/api/passing"
	"trackway/internal/api/permit"
	"trackway/internal/api/position"
	"trackway/internal/api/request"
	"trackway/internal/api/room"
	"trackway/internal/audit"
	"trackway/internal/auth"
	"trackway/internal/format"
	"trackway/internal/limit"
	"trackway/internal/limit/pace"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/watch"
	"trackway/internal/trace"
)

// front is what the steps of every call need.
type front struct {
	bodies    *body.Intake
	limits    *limit.Limiter
	traffic   *traffic.Recorder
	pace      *pace.Pace
	observer  *observer
	lingering *room.Places  // connections that are read after the answer
	rest      time.Duration // that the rest of a small body may take, after the answer
	log       *slog.Logger
	shared    position.Logs // nil: the server stands alone
	passed    *room.Places  // questions that the leader answers
	away      passing.Away
	audit     *audit.Log    // nil: nothing is recorded
	traces    *trace.Tracer // nil: no request is traced

	warnedForwarded atomic.Bool // an untrusted peer sent a forwarded address; said once
}

// call is one request on its way.
type call struct {
	*front

	access   *access // as it was when the call came
	w        http.ResponseWriter
	r        *http.Request
	route    *route
	format   *format.Format // the route's, or the one that the call's header chose
	received time.Time
	by       *passing.Caller // for whom another server asks; nil: the client has asked this one
	grant    auth.Grant
	sent     body.Body
	body     []byte // whole, inflated; belongs to this request alone; nil after its commands were taken
	status   int    // that was answered; 0: nothing yet
	ask      limit.Call
	decision limit.Decision
	fields   limit.Fields
	watched  *watch.Call   // nil: the sample does not hold it
	observed bool          // it is in the metrics
	making   *room.Holding // what the answer takes; nil: for all but questions
	span     *trace.Span   // nil: it is not traced
}

// serve takes a request of a route through the steps.
func (s *Server) serve(rt *route, w http.ResponseWriter, r *http.Request) {
	c := &call{front: s.front, access: s.access.Load(), w: w, r: r, route: rt, format: rt.format, received: time.Now()}
	if c.by = passing.Of(r.Context()); c.by == nil {
		c.span = c.traces.Request(r, rt.path, c.received, c.access.Clients)
	}
	if rt.dialect != nil && rt.dialect.Vary != nil {
		c.format = rt.dialect.Vary(r)
	}
	defer c.end()
	if c.by == nil {
		c.steps(r.Context())
	} else {
		c.stepsFor(r.Context(), c.by)
	}
}

// end counts the call, however it ended. A panic is a bug of ours: it is
// logged, and the connection closed.
func (c *call) end() {
	bug := recover()
	if c.making != nil {
		c.making.Release() // the answer was sent
	}
	if c.by == nil {
		c.observer.ended(c)
	}
	defer c.span.Answered(c.status, bug != nil)
	if bug == nil {
		return
	}
	if bug != http.ErrAbortHandler { //nolint:errorlint // what was panicked with, not what it wraps
		c.span.Log(c.log).Error("panic", "bug", bug, "stack", string(debug.Stack()), "route", c.route.path, "request_id", c.requestID())
	}
	panic(http.ErrAbortHandler)
}

// steps takes the call through the steps. Each refuses by answering.
func (c *call) steps(ctx context.Context) {
	if c.format.AnySite {
		cors.LetPagesRead(c.w.Header(), c.r)
	}
	if !c.route.free && !cors.IsPreflight(c.r) && !c.allowed(ctx) {
		return
	}
	defer c.sent.Release() // when the answer is sent
	err := c.enter(ctx)
	if err != nil {
		c.observer.refused(c, err)
	} else {
		err = c.carryOut(ctx)
	}
	if err != nil {
		c.fail(err)
	}
}

// stepsFor does what steps does for a call that another server passed on. That
// server has counted it.
func (c *call) stepsFor(ctx context.Context, by *passing.Caller) {
	defer c.sent.Release()
	c.observed = true
	var err error
	c.grant, c.r, err = by.Admit(c.w, c.r, c.access.Keys, c.route.current, c.route.needs)
	c.ask.Addr = by.Addr
	if err == nil && c.route.maxBody > 0 {
		err = c.read(ctx)
	}
	if err == nil {
		if by.Holder && c.route.current { // the other server may have acknowledged something that is not here yet
			position.CatchUp(ctx, c.shared.Of(c.grant.Project))
		}
		err = c.carryOut(position.Stay(ctx))
	}
	if err != nil {
		c.fail(err)
	}
}

// carryOut does what the call asks for, once this server may answer it.
func (c *call) carryOut(ctx context.Context) error {
	if c.grant.Project != nil && !c.route.anywhere && !c.route.server && !c.route.admin {
		if done, err := c.atHolder(ctx, c.grant.Project.Number, passing.By(c.grant, c.ask.Addr)); done || err != nil {
			return err
		}
	}
	if c.route.current {
		if done, err := c.await(ctx); done || err != nil {
			return err
		}
	}
	return c.route.do(c)
}

// enter checks the key and reads the body. An error is a refusal.
func (c *call) enter(ctx context.Context) error {
	if err := c.mayEnter(nil); err != nil {
		return err
	}
	if c.route.maxBody > 0 {
		if err := c.read(ctx); err != nil {
			return err
		}
	}
	if c.route.open || c.grant.Key != nil {
		return nil
	}
	if c.body == nil {
		c.body = []byte{} // nil would mean that it was not read
	}
	err := c.mayEnter(c.body)
	if err != nil {
		c.sent.InVain()
	}
	return err
}

// mayEnter returns nil if the key of the call admits it, or if only the body
// can tell and was not read yet.
func (c *call) mayEnter(body []byte) error {
	if c.route.open {
		return nil
	}
	if err := c.authorize(body); err != nil {
		return err
	}
	if p := c.route.needs; p != "" && c.grant.Key != nil && !c.grant.Key.May(p) {
		return permit.Missing(p)
	}
	return nil
}

// authorize finds the project and the key of the call. A dialect may need the
// body for this: see [dialect.Admit].
func (c *call) authorize(body []byte) (err *trackway.Error) {
	if c.grant.Key != nil {
		return nil // the limits asked already
	}
	if c.route.dialect != nil {
		c.grant, err = c.route.dialect.Admit(c.access.Keys, c.received, c.r, body)
		return err
	}
	if c.route.admin {
		c.grant, err = c.access.Keys.Administrator(c.received, c.r.Header.Get("Authorization"))
		return err
	}
	if c.route.server {
		c.grant, err = c.access.Keys.Operator(c.received, c.r.Header.Get("Authorization"))
		return err
	}
	authorization, query := c.r.Header.Get("Authorization"), request.AccessToken(c.r.URL.RawQuery)
	c.grant, err = c.access.Keys.Authorize(c.received, c.r.PathValue("token"), authorization, query)
	return err
}

// maxBodiesInMemory, or [Config.Bodies], bounds what all requests' bodies take
// together. Beyond it, the slowest requests are dropped, and further requests
// get a 503, so that this figure and not the traffic bounds the memory. An
// address may have half of it, which is enough for the largest batch of 41 MB.
const maxBodiesInMemory = 256 << 20

// read reads the body.
func (c *call) read(ctx context.Context) (err error) {
	rules := body.Rules{Most: c.route.maxBody, Commands: max(c.format.Commands, trackway.MaxCommands), Takes: c.format.Takes, Sniffs: c.route.dialect != nil}
	if err = c.sent.Open(c.bodies, c.w, c.r, c.ask.Addr, rules); err != nil {
		return err
	}
	c.body, err = c.sent.Read(ctx)
	return err
}
