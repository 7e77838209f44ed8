package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"trackway/internal/clientip"
	"trackway/internal/config"
)

// reply is a complete answer.
type reply struct {
	status int
	header http.Header
	body   []byte
	ahead  time.Duration // how far the answer's Date is ahead of this host's clock
	from   netip.Addr    // this host's address on the connection
}

// get requests a URL. If forwarded is not empty, the request claims to come
// from that address.
func (x *examination) get(ctx context.Context, client *http.Client, address, forwarded string) (*reply, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	var r reply
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if local, err := netip.ParseAddrPort(i.Conn.LocalAddr().String()); err == nil {
			r.from = local.Addr().Unmap()
		}
	}})
	req, err := http.NewRequestWithContext(traced, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "trackway")
	if forwarded != "" {
		req.Header.Set(x.Config.ClientIPHeader, clientip.HeaderValue(x.Config.ClientIPHeader, forwarded))
	}
	asked := time.Now()
	res, err := client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, err
	}
	defer res.Body.Close()
	const most = 1 << 20 // metrics are the longest answer
	r.status, r.header = res.StatusCode, res.Header
	if date, err := http.ParseTime(res.Header.Get("Date")); err == nil {
		middle := asked.Add(time.Since(asked) / 2)
		r.ahead = date.Add(time.Second / 2).Sub(middle) // Date is truncated to the second
	}
	r.body, err = io.ReadAll(io.LimitReader(res.Body, most))
	return &r, err
}

// name returns the name and the state that a server gives itself in the answer
// of /api/status.
func (r *reply) name() (name, state string, err error) {
	var status struct{ Name, State string }
	switch {
	case r.status == http.StatusTooManyRequests:
		return r.header.Get("X-Served-By"), "up", nil
	case r.status != http.StatusOK:
		return "", "", fmt.Errorf("/api/status answers %d", r.status)
	}
	if err := json.Unmarshal(r.body, &status); err != nil || status.Name == "" {
		return "", "", errors.New("the answer is not from a tracking server")
	}
	return status.Name, status.State, nil
}

// listener looks for the server itself.
func (x *examination) listener(ctx context.Context) {
	const check = "server"
	res, err := x.get(ctx, x.Local, x.LocalURL+"/api/status", "")
	if dial, ok := errors.AsType[*net.OpError](err); err != nil && (!ok || dial.Op != "dial") {
		x.fail(check, "look at the server's log, and at what else may listen there", "%s accepts the connection but does not answer: %v", x.LocalURL, err)
		return
	}
	if err != nil {
		x.warn(check, "start it (trackway serve) and ask doctor again: what needs a running server is not checked",
			"does not answer at %s: %v", x.LocalURL, err)
		return
	}
	name, _, err := res.name()
	switch {
	case err != nil:
		x.fail(check, "find out what else listens there, and give one of them another address", "%s: %v", x.LocalURL, err)
	case name != x.Config.Server.Name:
		x.fail(check, "reload or restart the server, or name its configuration: --config",
			"%s is the server %s, this configuration is of %s", x.LocalURL, name, x.Config.Server.Name)
	default:
		x.up = true
		x.ok(check, "%s answers at %s", name, x.LocalURL)
	}
}

// pretended returns two addresses to claim. They are from 198.18.0.0/15, which
// is reserved for benchmarks (RFC 2544), so no real caller's calls are counted
// with those of the check.
func pretended() (a, b string) {
	n := rand.N(1 << 16) //nolint:gosec // G404: any number will do
	return fmt.Sprintf("198.18.%d.%d", n>>8, n&0xff), fmt.Sprintf("198.19.%d.%d", n>>8, n&0xff)
}

// believed finds out with three calls whether the server counts by the address
// that a request claims. The calls claim the addresses a, a and b. If the
// server believes them, the call from b has a count of its own, and its answer
// announces as many remaining calls as the first answer to a.
func (x *examination) believed(ctx context.Context, client *http.Client, base string) (yes bool, from netip.Addr, err error) {
	a, b := pretended()
	var left []int
	for _, address := range []string{a, a, b} {
		res, err := x.get(ctx, client, base+"/api/limits", address)
		if err != nil {
			return false, from, err
		}
		n, err := strconv.Atoi(res.header.Get("X-RateLimit-Remaining"))
		if err != nil {
			return false, from, errors.New("the answer has no header fields about limits")
		}
		left, from = append(left, n), res.from
	}
	if left[0] == left[1] {
		return false, from, errors.New("the limit does not count the calls")
	}
	return left[2] == left[0], from, nil
}

// forwarding checks that the running server trusts the addresses that this host
// claims if and only if it is configured to.
func (x *examination) forwarding(ctx context.Context) {
	const check = "forwarding"
	if !x.up {
		return
	}
	got, from, err := x.believed(ctx, x.Local, x.LocalURL)
	if err != nil {
		x.warn(check, "ask again in a minute", "cannot be determined: %v", err)
		return
	}
	switch want := x.trusts(from); {
	case got && !want:
		x.fail(check, "the server runs with another configuration: reload it, and look at trusted_proxies",
			"the server believes %s from %s, which is not a trusted proxy", x.Config.ClientIPHeader, from)
	case !got && want:
		x.fail(check, "the server runs with another configuration: reload it, and look at client_ip_header",
			"the server ignores %s from %s, which is a trusted proxy", x.Config.ClientIPHeader, from)
	case want:
		x.ok(check, "the server believes %s from %s, a trusted proxy", x.Config.ClientIPHeader, from)
	default:
		x.ok(check, "the server ignores %s from %s, which is not a trusted proxy", x.Config.ClientIPHeader, from)
	}
}

func (x *examination) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(x.Config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ops checks that the operator's listener answers, and that others cannot reach
// it.
func (x *examination) ops(ctx context.Context) {
	const check = "ops listener"
	if !loopbackOnly(x.Config.OpsListen) {
		x.warn(check, "ops_listen: 127.0.0.1:8081, or a network that only you are in",
			"%s may be reached by others: it shows profiles and metrics, and reloads", x.Config.OpsListen)
	}
	if !x.up {
		return
	}
	res, err := x.get(ctx, x.Web, x.OpsURL+"/-/ready", "")
	switch {
	case err != nil:
		x.fail(check, "look at ops_listen, and at the server's log", "does not answer at %s: %v", x.OpsURL, err)
	case res.status != http.StatusOK:
		x.fail(check, "look at the server's log", "the server is not ready: %s", strings.TrimSpace(string(res.body)))
	default:
		x.ok(check, "ready at %s", x.OpsURL)
	}
	x.damage(ctx)
}

// ownURL checks that the URL that clients get leads to this server, and that
// the proxy in front of it does not pass on forged addresses.
func (x *examination) ownURL(ctx context.Context) {
	const check = "own url"
	own := x.Config.Server
	if own.URL == "" {
		if len(x.Config.Servers) > 0 {
			x.warn(check, "server: {url: https://…}", "clients that choose among the servers are not told where this one is")
		}
		return
	}
	if !x.up || !x.answersAs(ctx, check, own) {
		return
	}
	got, from, err := x.believed(ctx, x.Web, strings.TrimRight(own.URL, "/"))
	if err == nil && got && !x.trusts(from) {
		x.fail(check, "have the proxy in front append to "+x.Config.ClientIPHeader+", or replace it: "+
			"callers must not choose the address that they are counted by",
			"%s passes on any address that a caller claims", own.URL)
	}
}

// answersAs checks that a server is where it is said to be, and notes its
// clock.
func (x *examination) answersAs(ctx context.Context, check string, s config.Server) bool {
	res, err := x.get(ctx, x.Web, strings.TrimRight(s.URL, "/")+"/api/status", "")
	if err != nil {
		x.fail(check, "is the name right, the proxy up, the port open?", "%s does not answer at %s: %v", s.Name, s.URL, err)
		return false
	}
	name, state, err := res.name()
	switch {
	case err != nil:
		x.fail(check, "look at the url, and at the proxy in front of it", "%s: %v", s.URL, err)
		return false
	case name != s.Name:
		x.fail(check, "correct the url or the name", "%s leads to %s, not to %s", s.URL, name, s.Name)
		return false
	case state != "up":
		x.warn(check, "nothing, if it is being stopped", "%s is in state %s", s.Name, state)
	default:
		x.ok(check, "%s answers at %s", s.Name, s.URL)
	}
	if s.Name != x.Config.Server.Name {
		x.skews = append(x.skews, offset{s.Name, res.ahead})
	}
	return true
}

// servers checks the other servers, all at the same time.
func (x *examination) servers(ctx context.Context) {
	parts := make([]examination, len(x.Config.Servers))
	var asked sync.WaitGroup
	for i, s := range x.Config.Servers {
		parts[i].Env = x.Env
		asked.Go(func() { parts[i].answersAs(ctx, "server "+s.Name, s) })
	}
	asked.Wait()
	for i := range parts {
		x.findings = append(x.findings, parts[i].findings...)
		x.skews = append(x.skews, parts[i].skews...)
	}
}

// OpsURL returns the URL at which this host reaches the operator's listener of
// a configuration.
func OpsURL(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "http://" + listen
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
