package api

import (
	"context"
	"net/http"
	"strings"

	"trackway/internal/door"
	"trackway/internal/limit"
)

// allowed reports whether the limits admit the call, and sets their header
// fields. If they do not, it answers the call, perhaps after a delay. It does
// not read the body of a refused call, and uses the call's credentials only to
// count or record it.
func (c *call) allowed(ctx context.Context) bool {
	addr, ignored := c.access.Clients.Addr(c.r.RemoteAddr, c.r.Header)
	if ignored && !c.warnedForwarded.Swap(true) {
		why := c.access.Clients.Explain(c.r.RemoteAddr, c.r.Header)
		c.log.Warn("a forwarded address was ignored, because the peer is not in trusted_proxies; said once",
			"explanation", why.String(), "if_it_is_your_proxy", why.Advice)
	}
	c.ask = limit.Call{Method: c.r.Method, Path: c.pathAsKnown(), Route: c.route.path, Addr: addr}
	if c.limits.Set().ByKey() || c.traffic.On() {
		c.identify(&c.ask)
	}
	c.decision = c.limits.Allow(c.received, &c.ask)
	c.traffic.Note(c.received, &c.ask, &c.decision)
	c.fields.Set(c.w.Header(), &c.decision)
	c.observer.decided(c)
	if c.decision.Allowed {
		return true
	}
	release := door.Hold(ctx)
	c.pace.Hold(ctx.Done(), c.ask.Addr, c.received)
	release()
	_ = c.answer(http.StatusTooManyRequests, c.decision.AppendBody(nil))
	return false
}

// pathAsKnown returns the path with the project's token in lower case, so that
// no other spelling of it escapes a policy for this path. A customer's
// identifier in a path is replaced by its name, because paths are recorded.
func (c *call) pathAsKnown() string {
	if c.r.PathValue("cookie") != "" {
		return c.route.path
	}
	token := c.r.PathValue("token")
	known := strings.ToLower(token)
	if known == token {
		return c.r.URL.Path
	}
	return strings.Replace(c.r.URL.Path, "/"+token+"/", "/"+known+"/", 1)
}

// identify finds whose key a call came with, for policies that count by key or
// project. A call with bad credentials counts for its address, and so does one
// whose key is in its body.
func (c *call) identify(ask *limit.Call) {
	if c.route.open || c.authorize(nil) != nil || c.grant.Key == nil {
		return
	}
	ask.Project, ask.Key = c.grant.Project.Token, c.grant.Key.Name
}
