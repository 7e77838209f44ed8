package openapitest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Transport is an [http.RoundTripper] that fails if a call departs from the
// contract.
type Transport struct {
	Contract *Contract
	Next     *http.Transport
	Report   func(error) // also called with each departure, for tests that expect failures
}

// RoundTrip makes a call. It reads the answer to its end.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	sent := new(recorder)
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.Body, r.GetBody = sent.of(r.Body), nil
	}
	res, err := t.Next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	res.Body = io.NopCloser(bytes.NewReader(answer))
	err = t.Contract.Check(&Call{
		Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header, Sent: sent.bytes(),
		Status: res.StatusCode, AnswerHeader: res.Header, Answer: answer,
	})
	if err != nil {
		t.Report(err)
		return nil, err
	}
	return res, nil
}

// CloseIdleConnections closes the idle connections of Next, for
// [http.Client.CloseIdleConnections].
func (t *Transport) CloseIdleConnections() { t.Next.CloseIdleConnections() }

// recorder keeps what is read of a body. It needs a lock, because a client may
// still be sending while it is answered.
type recorder struct {
	mu   sync.Mutex // guards read
	read []byte
}

// of returns body, and keeps everything that is read from it.
func (rec *recorder) of(body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(body, rec), body}
}

func (rec *recorder) Write(p []byte) (int, error) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.read = append(rec.read, p...)
	return len(p), nil
}

func (rec *recorder) bytes() []byte {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.read
}

// Serve lets h serve a request, and fails the test if that departs from the
// contract.
func (c *Contract) Serve(t testing.TB, h http.Handler, w *httptest.ResponseRecorder, r *http.Request) {
	t.Helper()
	call := &Call{Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header.Clone()}
	sent := new(recorder)
	r.Body = sent.of(r.Body)
	h.ServeHTTP(w, r)
	call.Sent, call.Status, call.AnswerHeader = sent.bytes(), w.Code, w.Header()
	if r.Method != http.MethodHead { // a connection would not send it
		call.Answer = w.Body.Bytes()
	}
	if err := c.Check(call); err != nil {
		t.Error(err)
	}
}
