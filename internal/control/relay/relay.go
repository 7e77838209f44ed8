// Package relay carries what operators ask of one server of a cluster to the
// server that leads it, over the connections between the servers.
package relay

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// Listener is a listener for connections that another server has made. It is
// safe for concurrent use.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

// NewListener returns a listener.
func NewListener() *Listener {
	return &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

// Take hands a connection to the server that accepts, and returns when the
// connection is closed.
func (l *Listener) Take(conn net.Conn) {
	c := &watched{Conn: conn, ended: make(chan struct{})}
	select {
	case l.conns <- c:
		<-c.ended
	case <-l.closed:
	}
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener].
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *Listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "relay" }
func (addr) String() string  { return "relay" }

// watched is a connection that says when it is closed.
type watched struct {
	net.Conn

	once  sync.Once
	ended chan struct{}
}

// Close implements [net.Conn].
func (c *watched) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { close(c.ended) })
	return err
}

// Transport makes a connection for each request.
func Transport(dial func(context.Context) (net.Conn, error)) http.RoundTripper {
	return &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, // another server may lead by the next request
	}
}

type streamKey struct{}

// Stream marks a request whose answer goes on for as long as the caller stays,
// so that it needs a connection of its own.
func Stream(ctx context.Context) context.Context { return context.WithValue(ctx, streamKey{}, true) }

// IsStream reports whether a request was marked by [Stream].
func IsStream(ctx context.Context) bool { return ctx.Value(streamKey{}) != nil }

// Host is the host in the URLs of requests that are passed on. It means the
// leader.
const Host = "leader"

// Forward returns a handler that passes requests on. Answers are passed on as
// they come.
func Forward(t http.RoundTripper) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: Host}) },
		Transport:     t,
		FlushInterval: -1 * time.Millisecond, // at once
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			Refuse(w, "the server that leads the cluster does not answer: "+err.Error())
		},
	}
}

// Refuse answers a command with a reason why it cannot be carried out now.
func Refuse(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{why}) // an error means that the caller has gone
}
