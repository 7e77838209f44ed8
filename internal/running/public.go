// Package running calls the running server of a configuration from the same
// host: its public listener, the operator's listener, and its control socket.
// The server is found by the configuration alone.
package running

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"trackway/internal/certificate"
	"trackway/internal/config"
	"trackway/internal/config/reach"
	"trackway/internal/terminal"
)

// Public returns a client for the public listener of a configuration's server,
// and the server's URL, even if the server's certificate cannot be read. The
// client follows no redirects.
func Public(cfg *config.Config) (client *http.Client, base string, err error) {
	addr, err := net.ResolveTCPAddr("tcp", cfg.Listen)
	if err != nil {
		return nil, "", err
	}
	target, scheme := reach.Local(addr), "http"
	transport := &http.Transport{DialContext: dialer(cfg)} // no proxy: the server is on this host, or on one beside it
	if cfg.TLS.Secure() {
		scheme = "https"
		transport.TLSClientConfig, err = certificate.Trusting(cfg.CertificateFile())
	}
	client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, scheme + "://" + target, err
}

// dialer connects in the way that the server expects. If the server trusts this
// host as a proxy that speaks the PROXY protocol, every connection from here
// must begin with a header. UNKNOWN in version 1 means that the connection is
// the proxy's own.
func dialer(cfg *config.Config) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil || !cfg.ProxyProtocol || !trusts(cfg, conn.LocalAddr()) {
			return conn, err
		}
		if _, err := io.WriteString(conn, "PROXY UNKNOWN\r\n"); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
}

func trusts(cfg *config.Config, addr net.Addr) bool {
	peer, err := netip.ParseAddrPort(addr.String())
	return err == nil && slices.ContainsFunc(cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) })
}

// Unreachable explains why a server at base does not answer. It leaves out the
// URL of the request, which the reader does not need.
func Unreachable(base string, err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("no answer from %s: %w; is the server running, with this configuration?", base, err)
}

// Reason returns the reason that a refusal gives, in any of the formats that
// refusals have.
func Reason(body []byte) string {
	var known struct {
		Error, Message string
		Errors         json.RawMessage
	}
	var list []string
	var status struct{ Description string }
	if json.Unmarshal(body, &known) == nil {
		_ = json.Unmarshal(known.Errors, &list) // the format is one of the two
		_ = json.Unmarshal(known.Errors, &status)
	}
	return terminal.Printable(cmp.Or(known.Message, known.Error, status.Description, strings.Join(list, " "), "without a known reason"))
}
