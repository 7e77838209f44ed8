// Package openidtest has a provider of OpenID Connect for tests: mockoidc, with
// claims as a test wants them, on a loopback address. Nothing of it ships.
package openidtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"
)

// Provider is a provider that is running.
type Provider struct {
	*mockoidc.MockOIDC

	mu      sync.Mutex
	down    bool
	seen    []Request
	changed func(path string, body []byte) []byte
}

// Request is a request that the provider has seen.
type Request struct {
	Path string
	Form url.Values // from the URL and the body
}

// Start starts a provider on an address, such as 127.0.0.1:0. For browsers, one
// on localhost is another site than a server on 127.0.0.1.
func Start(address string) (*Provider, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	m, err := mockoidc.NewServer(key)
	if err != nil {
		return nil, err
	}
	p := &Provider{MockOIDC: m}
	if err := m.AddMiddleware(p.record); err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := m.Start(ln, nil); err != nil {
		return nil, err
	}
	if host, _, _ := net.SplitHostPort(address); host == "localhost" {
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		m.Server.Addr = net.JoinHostPort(host, port) // the issuer is made of it
	}
	return p, nil
}

func newKey() (*rsa.PrivateKey, error) {
	const bits = 2048
	return rsa.GenerateKey(rand.Reader, bits)
}

// record notes each request, and lets one at a time through, because the
// provider itself guards nothing.
func (p *Provider) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = r.ParseForm()
		p.seen = append(p.seen, Request{r.URL.Path, maps.Clone(r.Form)})
		if p.down {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if p.changed == nil {
			next.ServeHTTP(w, r)
			return
		}
		answer := &kept{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		w.WriteHeader(answer.status)
		_, _ = w.Write(p.changed(r.URL.Path, answer.body.Bytes()))
	})
}

// kept keeps an answer.
type kept struct {
	http.ResponseWriter

	status int
	body   bytes.Buffer
}

func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// Seen returns the requests to a path so far.
func (p *Provider) Seen(path string) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.seen), func(r Request) bool { return r.Path != path })
}

// Down makes the provider answer with an error, or no longer.
func (p *Provider) Down(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
}

// Change has a function change the answers.
func (p *Provider) Change(how func(path string, body []byte) []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = how
}

// Rotate gives the provider another key.
func (p *Provider) Rotate() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	pair, err := mockoidc.NewKeypair(key)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Keypair = pair
	return err
}

// Next says who signs in next, by the claims in the ID token. A claim that is
// nil is left out, even if it is required.
func (p *Provider) Next(claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.QueueUser(&person{claims: claims})
}

type person struct {
	mockoidc.MockUser

	claims map[string]any
}

// ID implements [mockoidc.User].
func (p *person) ID() string { return "" }

// Claims implements [mockoidc.User].
func (p *person) Claims(_ []string, base *mockoidc.IDTokenClaims) (jwt.Claims, error) {
	text, err := json.Marshal(base)
	if err != nil {
		return nil, err
	}
	all := make(jwt.MapClaims)
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, p.claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all, nil
}

// Visit does what a browser does at the provider, without people: it goes to
// the URL that begins a sign-in, and returns the URL to which it is sent back.
func Visit(to string) (back *url.URL, err error) {
	const patience = 10 * time.Second
	client := &http.Client{Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, to, nil)
	if err != nil {
		return nil, err
	}
	w, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer w.Body.Close()
	_, _ = io.Copy(io.Discard, w.Body)
	return w.Location()
}
