package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"trackway/internal/people/openid/openidtest"
)

// cookieOf returns a cookie of an answer as the value of a Cookie field.
func (r response) cookieOf(name string) string {
	for _, line := range r.header.Values("Set-Cookie") {
		if pair, _, _ := strings.Cut(line, ";"); strings.HasPrefix(pair, name+"=") && len(pair) > len(name)+1 {
			return pair
		}
	}
	return ""
}

// bySomebody signs somebody in at a provider, and returns the last answer.
func (s *server) bySomebody(t *testing.T) response {
	t.Helper()
	away := s.do(t, request{path: "/grid/oidc", auth: "none"})
	if away.status != http.StatusSeeOther || away.cookieOf("trackway_oidc") == "" {
		t.Fatalf("got %v %v", away, away.header)
	}
	back, err := openidtest.Visit(away.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	s.log.private(back.Query().Get("code"), back.Query().Get("state"))
	if back.Host != s.public {
		t.Fatalf("it comes back to %s", back.Host)
	}
	return s.do(t, request{path: back.RequestURI(), auth: "none", header: map[string]string{"Cookie": away.cookieOf("trackway_oidc"), "Host": "evil.example"}})
}

// TestProvider: with the real binary, a provider gets people in, no start waits
// for it, the command line knows its accounts, and a reload without it ends
// their sessions. Its failures are no failures of the server.
func TestProvider(t *testing.T) {
	t.Parallel()
	m, err := openidtest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Server.Close() })
	m.Down(true)
	config := gridConfig(pagesPassword, wideLimits)
	section := fmt.Sprintf("oidc: {issuer: %q, client_id: %q, client_secret: %q, groups: [{group: lookers, role: viewer, projects: [demo]}]}", m.Issuer(), m.ClientID, m.ClientSecret)
	s := startIn(t, t.TempDir(), strings.Replace(config, "dashboard: {", "dashboard: {"+section+", ", 1))
	s.log.private(m.ClientSecret, "jane-of-login")

	if res := s.do(t, request{path: "/grid/oidc", auth: "none"}); res.status != http.StatusSeeOther || res.header.Get("Location") != "/" {
		t.Errorf("the provider is down: %v %v", res, res.header)
	}
	s.signIn(t, pagesPassword)
	m.Down(false)
	time.Sleep(5 * time.Second) //nolint:forbidigo // after a failure, the server asks no sooner

	jane := map[string]any{"sub": "7", "preferred_username": "jane-of-login", "groups": []string{"lookers"}}
	m.Next(jane)
	in := s.bySomebody(t)
	cookie := in.cookieOf("trackway_session")
	if in.status != http.StatusSeeOther || in.header.Get("Location") != "/" || cookie == "" {
		t.Fatalf("got %v %v", in, in.header)
	}
	s.log.private(cookie)
	if res := s.grid(t, cookie, "start"); res.status != http.StatusOK || !strings.Contains(string(res.body), `"name":"oidc:jane-of-login","role":""`) {
		t.Errorf("got %v", res)
	}
	if res := s.grid(t, cookie, "limits"); res.status != http.StatusForbidden {
		t.Errorf("a viewer of one project sees the limits: %v", res)
	}
	if out, err := s.user(t, "", "list"); err != nil || !strings.Contains(out, "oidc:jane-of-login") {
		t.Errorf("got %v: %s", err, out)
	}
	if out, err := s.user(t, "", "sign-out", "oidc:jane-of-login"); err != nil || !strings.Contains(out, "that ended: 1") {
		t.Errorf("got %v: %s", err, out)
	}
	if res := s.grid(t, cookie, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("signed out: %v", res)
	}

	m.Next(map[string]any{"sub": "8", "preferred_username": "jane-of-login", "groups": []string{"others"}})
	refused := s.bySomebody(t)
	why := s.do(t, request{path: "/grid/session", auth: "none", header: map[string]string{"Cookie": refused.cookieOf("trackway_refused")}})
	if refused.cookieOf("trackway_session") != "" || !strings.Contains(string(why.body), "The account oidc:jane-of-login may not use this server") {
		t.Errorf("without a group: %v, %v", refused, why)
	}

	m.Next(jane)
	cookie = s.bySomebody(t).cookieOf("trackway_session")
	s.log.private(cookie)
	s.reload(t, http.StatusOK, "")
	if res := s.grid(t, cookie, "start"); res.status != http.StatusOK {
		t.Errorf("the same again: %v", res)
	}
	s.configure(t, config)
	s.reload(t, http.StatusOK, "")
	if res := s.grid(t, cookie, "start"); res.status != http.StatusUnauthorized {
		t.Errorf("without a provider: %v", res)
	}
	if res := s.do(t, request{path: "/grid/oidc", auth: "none"}); res.status != http.StatusNotFound {
		t.Errorf("got %v", res)
	}
}
