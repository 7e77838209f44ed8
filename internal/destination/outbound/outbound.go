// Package outbound makes HTTP requests to addresses that an operator has
// configured but others control. It reaches only the public Internet, follows
// no redirect and uses no proxy. It bounds what it reads, and its errors
// contain neither addresses nor credentials.
//
// A name can resolve to a private address, now or later. So the package checks
// the address of each connection, after the name was resolved.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	connectTimeout = 10 * time.Second
	maxHeader      = 64 << 10         // bytes of an answer's header
	maxWait        = time.Hour        // a longer Retry-After counts as this
	idleTime       = 90 * time.Second // after which an unused connection is closed
)

// Client sends requests to one URL, or to paths below it. It is safe for
// concurrent use.
type Client struct {
	// Resolver resolves names. Nil means the system's resolver.
	Resolver *net.Resolver

	// BodyTime bounds how long a body may take after the header of an answer.
	// The body is then cut. Zero means the time for the whole request. Set it
	// before the first use.
	BodyTime time.Duration

	to      *url.URL
	hosts   []string       // lower case: their addresses are not checked
	nets    []netip.Prefix // these addresses may be private
	timeout time.Duration  // for a request and its answer
	most    int64          // bytes read of an answer
	http    *http.Client
}

// Answer is the answer to a request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // up to the client's bound; a longer or endless body is cut, not refused
}

// New returns a client for a URL. allow lists hosts, addresses and CIDRs that
// may be private. At most conns connections are open at a time. A request takes
// at most timeout, and the client reads at most the given number of bytes of
// its answer. The error contains no part of the URL.
func New(to string, allow []string, conns int, timeout time.Duration, most int64) (*Client, error) {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Fragment != "" {
		return nil, errors.New("the URL must begin with https:// or http:// and a host")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the port in the URL must be a number from 1 to 65535")
		}
	}
	c := &Client{to: u, timeout: timeout, most: most}
	for _, text := range allow {
		if err := c.allow(text); err != nil {
			return nil, err
		}
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // with a proxy from the environment, checking addresses would be useless
			DialContext:            c.dial,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    connectTimeout,
			MaxConnsPerHost:        conns,
			MaxIdleConnsPerHost:    conns,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true, // so that the bound holds for the bytes that are read
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// allow adds a host, address or range that may be private.
func (c *Client) allow(text string) error {
	if p, err := netip.ParsePrefix(text); err == nil {
		c.nets = append(c.nets, p.Masked())
		return nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		c.nets = append(c.nets, netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	if text == "" || strings.ContainsAny(text, "/:@* ") {
		return fmt.Errorf("allow: %q is not a host, an address or a CIDR such as 10.0.0.0/8", text)
	}
	c.hosts = append(c.hosts, strings.ToLower(text))
	return nil
}

// dial connects to an address, if that is permitted.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := &net.Dialer{Timeout: connectTimeout, Resolver: c.Resolver}
	if host, _, err := net.SplitHostPort(address); err != nil || !slices.Contains(c.hosts, strings.ToLower(host)) {
		d.Control = c.control
	}
	return d.DialContext(ctx, network, address)
}

// control refuses connections to addresses that are not public. The dialer
// calls it with each address that it tries.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return &addressError{}
	}
	addr := a.Addr().Unmap().WithZone("")
	if public(addr) || within(c.nets, addr) {
		return nil
	}
	return &addressError{addr}
}

// addressError says that an address is not public.
type addressError struct{ addr netip.Addr }

func (e *addressError) Error() string {
	return fmt.Sprintf("%v is not a public address; to permit it, list it or its host under allow", e.addr)
}

// Do sends a request to the URL or, if path is not empty, to a path below it.
// It sends the header unchanged. An answer with any status is not an error.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (*Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no answer within %v", c.timeout))
	defer cancel()
	to := *c.to
	if path != "" {
		to = *c.to.JoinPath(path)
	}
	req, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	maps.Copy(req.Header, header)
	req.Header.Set("User-Agent", "trackway")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, clean(ctx, err)
	}
	defer res.Body.Close() // nothing was written to it
	return &Answer{res.StatusCode, res.Header, c.read(res.Body, cancel)}, nil
}

// read reads a body up to the bounds.
func (c *Client) read(body io.Reader, cancel func()) []byte {
	if c.BodyTime > 0 {
		timer := time.AfterFunc(c.BodyTime, cancel)
		defer timer.Stop()
	}
	b, _ := io.ReadAll(io.LimitReader(body, c.most)) // what has come is enough
	return b
}

// Reach connects to the host and disconnects. It sends no request.
func (c *Client) Reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("no connection within %v", c.timeout))
	defer cancel()
	port := c.to.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.to.Scheme]
	}
	conn, err := c.dial(ctx, "tcp", net.JoinHostPort(c.to.Hostname(), port))
	if err != nil {
		return clean(ctx, err)
	}
	return conn.Close()
}

// Close closes unused connections. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// clean returns an error of net/http without anything about the URL. The result
// wraps an error of the same kind, so that attempts are counted by kind.
func clean(ctx context.Context, err error) error {
	var refused *addressError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &refused):
		return refused
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &dns):
		return &wordedError{"the host name cannot be resolved: " + dns.Err, &net.DNSError{Err: dns.Err}}
	case errors.As(err, &certificate):
		return errors.New("the host's certificate is not valid for it, or not trusted")
	case errors.Is(err, syscall.ECONNREFUSED):
		return &wordedError{"the connection was refused", syscall.ECONNREFUSED}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &wordedError{"the connection ended before the answer", syscall.ECONNRESET}
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &wordedError{"the host did not answer in time", os.ErrDeadlineExceeded}
	}
	return errors.New("the request failed: there was no HTTP answer")
}

// wordedError is an error in our own words.
type wordedError struct {
	text string
	kind error // says nothing about the URL
}

func (e *wordedError) Error() string { return e.text }

func (e *wordedError) Unwrap() error { return e.kind }

// RetryAfter returns how long the answer asks to wait (RFC 9110, section
// 10.2.3), at most an hour. It returns 0 if the answer does not ask.
func (a *Answer) RetryAfter(now time.Time) time.Duration {
	text := strings.TrimSpace(a.Header.Get("Retry-After"))
	if n, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(n, uint64(maxWait/time.Second))) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
		now = date // only differences count, so our clock may be wrong
	}
	return min(max(until.Sub(now), 0), maxWait)
}
