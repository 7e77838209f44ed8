package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"trackway/internal/sleep"
)

// web is the HTTP client of the tests. It checks every call against the
// contract. Enough connections stay open for the loads. It does not follow
// redirects.
var web = &http.Client{
	Transport:     contract,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request is one call of the API.
type request struct {
	method string // GET if empty, or POST if there is a body
	path   string // {token} is replaced by the project's token
	auth   string // as in shared/conformance/README.md; empty means private
	header map[string]string
	body   []byte
}

// response is an answer with its body.
type response struct {
	status int
	header http.Header
	body   []byte
}

// json returns the body as JSON.
func (r response) json() (any, error) {
	var v any
	if err := json.Unmarshal(r.body, &v); err != nil {
		return nil, fmt.Errorf("status %d, body %q: %w", r.status, r.body, err)
	}
	return v, nil
}

// success reports whether a client would take the answer for success: the
// status is 200, and success is true.
func (r response) success() bool {
	v, err := r.json()
	object, ok := v.(map[string]any)
	return err == nil && ok && r.status == http.StatusOK && object["success"] == true
}

func (r response) String() string { return fmt.Sprintf("%d %s", r.status, bytes.TrimSpace(r.body)) }

// do sends a request to the public listener. Without an answer, the test fails.
func (s *server) do(t *testing.T, r request) response {
	t.Helper()
	res, err := s.try(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// try is do for tests in which the server may vanish.
func (s *server) try(ctx context.Context, r request) (response, error) {
	req, err := s.newRequest(ctx, r)
	if err != nil {
		return response{}, err
	}
	res, err := web.Do(req)
	if err != nil {
		return response{}, err
	}
	body, err := io.ReadAll(res.Body)
	return response{res.StatusCode, res.Header, body}, errors.Join(err, res.Body.Close())
}

func (s *server) newRequest(ctx context.Context, r request) (*http.Request, error) {
	if r.method == "" {
		r.method = http.MethodGet
		if r.body != nil {
			r.method = http.MethodPost
		}
	}
	target := "http://" + s.public + strings.ReplaceAll(r.path, "{token}", projectToken)
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	authorize(req, r.auth)
	for name, value := range r.header {
		req.Header.Set(name, value)
	}
	if host := r.header["Host"]; host != "" {
		req.Host = host
	}
	return req, nil
}

func authorize(req *http.Request, auth string) {
	switch auth {
	case "", "private":
		req.Header.Set("Authorization", basic("Basic", privateID, secretKey))
	case "basic-lowercase":
		req.Header.Set("Authorization", basic("basic", privateID, secretKey))
	case "bad-secret":
		req.Header.Set("Authorization", basic("Basic", privateID, "not-the-secret"))
	case "unknown-key":
		req.Header.Set("Authorization", "Token no-such-key")
	case "public":
		req.Header.Set("Authorization", "Token "+publicKey)
	case "query":
		req.URL.RawQuery = "access_token=" + publicKey
	case "none":
	default:
		panic("bug: no such authorization: " + auth)
	}
}

func basic(scheme, id, secret string) string {
	return scheme + " " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// again is do for servers that may be electing a leader: while the answer is
// 503, it sends the request again, as clients do. An event needs a time, so
// that it is stored once.
func (s *server) again(t *testing.T, r request) (res response) {
	t.Helper()
	for end := time.Now().Add(patience); ; _ = sleep.For(t.Context(), lookAgain) {
		if res = s.do(t, r); res.status != http.StatusServiceUnavailable || time.Now().After(end) {
			return res
		}
	}
}

// track sends one command as a call of its own. It must succeed.
func (s *server) track(t *testing.T, name string, data any) {
	t.Helper()
	if res := s.do(t, request{path: "/track/v2/projects/{token}/" + name, body: encode(t, data)}); !res.success() {
		t.Errorf("%s %s: got %v, want success", name, encode(t, data), res)
	}
}

// customer is the answer of customers/export-one.
type customer struct {
	Success    bool
	IDs        map[string]any
	Properties map[string]any
	Events     []event
}

type event struct {
	Type       string
	Timestamp  float64
	Properties map[string]any
}

// exportOne returns the customer that ids identify, or nil if there is no such
// customer.
func (s *server) exportOne(t *testing.T, ids any) *customer {
	t.Helper()
	res := s.do(t, request{path: "/data/v2/projects/{token}/customers/export-one", body: encode(t, map[string]any{"customer_ids": ids})})
	if res.status == http.StatusNotFound {
		return nil
	}
	var c customer
	if err := json.Unmarshal(res.body, &c); err != nil || !c.Success || res.status != http.StatusOK {
		t.Fatalf("export of %v: got %v, want a customer (%v)", ids, res, err)
	}
	return &c
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inflated returns the response with its body decompressed.
func (r response) inflated(t *testing.T) response {
	t.Helper()
	switch encoding := r.header.Get("Content-Encoding"); encoding {
	case "":
	case "gzip":
		plain, err := gzip.NewReader(bytes.NewReader(r.body))
		if err != nil {
			t.Fatal(err)
		}
		if r.body, err = io.ReadAll(plain); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("the answer is encoded as %q", encoding)
	}
	return r
}
