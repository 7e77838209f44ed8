package e2e

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const pagesPassword = "pages-password-55e0c1d27f"

func gridConfig(password, limits string) string {
	sum := sha256.Sum256([]byte(password))
	return baseConfig + limits + "dashboard: {password_sha256: " + hex.EncodeToString(sum[:]) + "}\n"
}

// signIn returns the session as the value of a Cookie field.
func (s *server) signIn(t *testing.T, password string) (cookie string) {
	t.Helper()
	res := s.do(t, request{path: "/grid/session", auth: "none", body: encode(t, map[string]string{"password": password})})
	if res.status != http.StatusOK {
		t.Fatalf("sign in: got %v", res)
	}
	cookie, _, _ = strings.Cut(res.header.Get("Set-Cookie"), ";")
	s.log.private(cookie, password)
	return cookie
}

func (s *server) grid(t *testing.T, cookie, path string) response {
	t.Helper()
	return s.do(t, request{path: "/grid/" + path, auth: "none", header: map[string]string{"Cookie": cookie}})
}

// message is one event of a stream.
type message struct {
	event, id string
	data      map[string]any
}

// watch opens a stream and returns its messages, without the counts of each
// second. The answer is not checked against the contract: that would require
// reading it to its end.
func (s *server) watch(t *testing.T, cookie, query, after string) <-chan message {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.public+"/grid/live?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	transport := &http.Transport{DisableCompression: true}
	res, err := transport.RoundTrip(r)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res, err)
	}
	t.Cleanup(func() {
		_ = res.Body.Close()
		transport.CloseIdleConnections()
	})
	messages := make(chan message, 4096)
	go func() {
		defer close(messages)
		var m message
		for lines := bufio.NewScanner(res.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				m.event = value
			case "id":
				m.id = value
			case "data":
				_ = json.Unmarshal([]byte(value), &m.data) // a test fails if this is not JSON
			case "":
				if m.event == "event" || m.event == "rejected" {
					messages <- m
				}
				m = message{}
			}
		}
	}()
	return messages
}

func next(t *testing.T, messages <-chan message) message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case m, ok := <-messages:
		if !ok {
			t.Fatal("the stream has ended")
		}
		return m
	case <-ctx.Done():
		t.Fatal("nothing came")
		return message{}
	}
}

// TestDashboard does what the pages do: it signs in, watches while something is
// tracked, looks at the customer, and erases its identity.
func TestDashboard(t *testing.T) {
	t.Parallel()
	s := start(t, gridConfig(pagesPassword, wideLimits))
	if res := s.grid(t, "", "start"); res.status != http.StatusUnauthorized {
		t.Errorf("nobody has signed in: got %v", res)
	}
	cookie := s.signIn(t, pagesPassword)
	stream := s.watch(t, cookie, "rejected=1&project="+projectToken, "")
	ids := map[string]any{"registered": "jane-in-the-grid", "cookie": "cookie-in-the-grid"}
	s.log.private("jane-in-the-grid", "cookie-in-the-grid")
	s.track(t, "customers/events", map[string]any{"customer_ids": ids, "event_type": "buy", "properties": map[string]any{"email": "j@x"}})
	m := next(t, stream)
	customer, _ := m.data["customer"].(string)
	if m.event != "event" || m.data["type"] != "buy" || m.id == "" || customer == "" {
		t.Errorf("got %+v, want the event", m)
	}
	res := s.do(t, request{path: "/track/v2/projects/{token}/batch", auth: "public", body: encode(t, map[string]any{"commands": []any{
		map[string]any{"name": "customers/events", "data": map[string]any{"customer_ids": ids}},
	}})})
	if res.status != http.StatusOK {
		t.Errorf("batch: got %v", res)
	}
	refused := next(t, stream)
	if refused.event != "rejected" || refused.data["field"] != "event_type" || refused.data["address"] != "127.0.0.1" {
		t.Errorf("got %+v, want why the command was refused", refused)
	}
	s.track(t, "customers/events", map[string]any{"customer_ids": ids, "event_type": "later"})
	if m := next(t, s.watch(t, cookie, "rejected=1", refused.id)); m.data["type"] != "later" {
		t.Errorf("resumed with %+v", m)
	}

	for _, path := range []string{"start", "overview", "limits", "customers?project=" + projectToken, "events?project=" + projectToken} {
		res := s.grid(t, cookie, path)
		if res.status != http.StatusOK {
			t.Errorf("%s: got %v", path, res)
		}
	}
	one := "customer?project=" + projectToken + "&customer=" + customer
	res = s.grid(t, cookie, one)
	if !strings.Contains(string(res.body), `"value":"jane-in-the-grid"`) || !strings.Contains(string(res.body), `"events_total":2`) {
		t.Errorf("got %v", res)
	}
	again := s.do(t, request{path: "/grid/" + one, auth: "none", header: map[string]string{"Cookie": cookie, "If-None-Match": res.header.Get("Etag")}})
	if again.status != http.StatusNotModified {
		t.Errorf("nothing has changed: got %v", again)
	}
	erase := request{
		path: "/grid/anonymize", auth: "none", header: map[string]string{"Cookie": cookie},
		body: encode(t, map[string]string{"project": projectToken, "customer": customer}),
	}
	if res := s.do(t, erase); !res.success() {
		t.Errorf("anonymize: got %v", res)
	}
	for _, path := range []string{one, "export?project=" + projectToken + "&customer=" + customer, "events?project=" + projectToken} {
		if res := s.grid(t, cookie, path); res.status != http.StatusOK || strings.Contains(string(res.body), "in-the-grid") || strings.Contains(string(res.body), "j@x") {
			t.Errorf("%s after it was erased: got %v", path, res)
		}
	}
	s.track(t, "customers/events", map[string]any{"customer_ids": map[string]any{"cookie": "other"}, "event_type": "last"})
	for shown := s.watch(t, cookie, "rejected=1", ""); ; {
		m := next(t, shown)
		if text := string(encode(t, m.data)); strings.Contains(text, "in-the-grid") {
			t.Errorf("after it was erased the stream shows %s", text)
		}
		if m.data["type"] == "last" {
			break
		}
	}
}

// TestDashboardStop: streams do not delay a stop, which waits up to 8 s for
// requests under way.
func TestDashboardStop(t *testing.T) {
	t.Parallel()
	s := start(t, gridConfig(pagesPassword, wideLimits))
	cookie := s.signIn(t, pagesPassword)
	var streams []<-chan message
	for range 5 {
		streams = append(streams, s.watch(t, cookie, "", ""))
	}
	began := time.Now()
	if status := s.stop(t); status != 0 {
		t.Errorf("got exit status %d, want 0: the stop was not clean", status)
	}
	t.Logf("stopped after %v", time.Since(began))
	for _, stream := range streams {
		for m := range stream {
			t.Errorf("got %+v", m)
		}
	}
}

// TestDashboardPassword: after a reload with another password, all sessions
// end. Guesses are limited.
func TestDashboardPassword(t *testing.T) {
	t.Parallel()
	const limits = `
limits:
  - {name: grid, paths: [/grid/], limit: 4000000, window: 30s, per: ip}
  - {name: signin, paths: [POST /grid/session], limit: 3, window: 60s, per: ip}
`
	s := start(t, gridConfig(pagesPassword, limits))
	cookie := s.signIn(t, pagesPassword)
	if err := os.WriteFile(s.config, []byte(gridConfig("another", limits)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.reload(t, http.StatusOK, "reloaded")
	if res := s.grid(t, cookie, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("the password has changed: got %v", res)
	}
	guess := request{path: "/grid/session", auth: "none", body: []byte(`{"password":"guess"}`)}
	for _, want := range []int{http.StatusForbidden, http.StatusForbidden, http.StatusTooManyRequests} {
		if res := s.do(t, guess); res.status != want {
			t.Errorf("a guess: got %v, want %d", res, want)
		}
	}
}
