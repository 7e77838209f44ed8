package main

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
	"os"
	"slices"
	"strings"
	"time"

	"trackway/internal/certificate"
	"trackway/internal/config"
	"trackway/internal/config/reach"
	"trackway/internal/terminal"
)

// askTime limits how long the running server may take to answer.
const askTime = 10 * time.Second

// serverFlags are the flags of every command that asks the running server.
type serverFlags struct {
	configFile

	Listen     string `env:"TRACKWAY_LISTEN" help:"Address of the server; overrides the configuration." placeholder:"HOST:PORT"`
	DataDir    string `env:"TRACKWAY_DATA" help:"Data directory of the server; overrides the configuration." name:"data" placeholder:"DIR"`
	SecretFile string `help:"File with the secret of a private key. Without it: TRACKWAY_SECRET, or else a secret from the configuration." placeholder:"FILE"`
}

// ask sends a GET request to the running server, with a private key, and
// returns the body of the answer.
func (a *serverFlags) ask(ctx context.Context, path string, query url.Values) ([]byte, error) {
	secret, err := a.secret()
	if err != nil {
		return nil, err
	}
	cfg, key, err := config.LoadForOperator(a.Config, config.Flags{Listen: a.Listen, DataDir: a.DataDir}, secret)
	if err != nil {
		return nil, err
	}
	client, base, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("no answer within %v", askTime))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.SetBasicAuth(key.ID, key.Secret)
	req.Header.Set("User-Agent", "trackway")
	res, err := client.Do(req)
	if err != nil {
		return nil, unreachable(base, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, unreachable(base, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server at %s refuses: %d %s", base, res.StatusCode, reasonIn(body))
	}
	return body, nil
}

// secret returns the secret from the flag or the environment, or an empty
// string if neither has one. The last line break of a file is not part of the
// secret.
func (a *serverFlags) secret() (string, error) {
	if a.SecretFile == "" {
		return os.Getenv("TRACKWAY_SECRET"), nil
	}
	text, err := os.ReadFile(a.SecretFile)
	if err != nil {
		return "", fmt.Errorf("read the secret: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", a.SecretFile)
	}
	return secret, nil
}

// unreachable explains why there is no answer. It leaves out the URL of the
// request, which the reader does not need.
func unreachable(base string, err error) error {
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	return fmt.Errorf("no answer from %s: %w; is the server running, with this configuration?", base, err)
}

// reasonIn returns the reason that a refusal gives, in any of the formats that
// refusals have.
func reasonIn(body []byte) string {
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

// connect returns a client for the server of this configuration, and the
// server's address, even if the server's certificate cannot be read.
func connect(cfg *config.Config) (client *http.Client, base string, err error) {
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
