package dashboard

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const password = "correct horse battery staple"

func factsFor(password string) *facts {
	return newFacts(Facts{Password: sha256.Sum256([]byte(password))})
}

func TestSession(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	f := factsFor(password)
	value := f.sign(now.Add(sessionTime))
	if got := f.session(value, now); !got.Equal(now.Add(sessionTime)) {
		t.Errorf("got %v", got)
	}
	if got := factsFor(password).session(value, now); got.IsZero() {
		t.Error("another server with the same password does not take it")
	}
	if !f.session(value, now.Add(sessionTime)).IsZero() {
		t.Error("it holds when it is over")
	}
	if !factsFor("another password").session(value, now).IsZero() {
		t.Error("it holds with another password")
	}
	if none := newFacts(Facts{}); !none.session(none.sign(now.Add(sessionTime)), now).IsZero() {
		t.Error("it holds without a password, whose key anybody can make")
	}
	if !f.session("", now).IsZero() {
		t.Error("it holds without a cookie")
	}
}

// TestTampering changes each bit of a session, and its length.
func TestTampering(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	f := factsFor(password)
	value := f.sign(now.Add(sessionTime))
	b, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	wrong := []string{"", "!", value[:len(value)-2], value + "AA", base64.RawURLEncoding.EncodeToString(b[:8])}
	for i := range 8 * len(b) {
		other := append([]byte(nil), b...)
		other[i/8] ^= 1 << (i % 8)
		wrong = append(wrong, base64.RawURLEncoding.EncodeToString(other))
	}
	for _, value := range wrong {
		if !f.session(value, now).IsZero() {
			t.Errorf("it holds as %q", value)
		}
	}
}

func (f *fixture) signIn(t *testing.T, password string, fields ...string) *httptest.ResponseRecorder {
	t.Helper()
	return f.send(t, http.MethodPost, "/grid/session", `{"password":"`+password+`"}`, fields...)
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	wantError(t, f.signIn(t, "guess"), "Wrong password.")
	wantError(t, f.send(t, http.MethodPost, "/grid/session", `{}`), "Field 'password': expected a string in a JSON object.")
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")

	w := f.signIn(t, password)
	cookie := w.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/grid" || cookie.MaxAge != 43200 || cookie.Secure {
		t.Errorf("got %+v", cookie)
	}
	if w := f.signIn(t, password, "X-Forwarded-Proto", "https"); !w.Result().Cookies()[0].Secure {
		t.Error("over TLS the cookie is not Secure")
	}
	f.cookie = cookie.Value
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"user_expires":`)
	w = f.send(t, http.MethodDelete, "/grid/session", "")
	if gone := w.Result().Cookies()[0]; gone.MaxAge >= 0 || gone.Value != "" {
		t.Errorf("signed out: got %+v", gone)
	}
	f.Reload(Facts{Password: sha256.Sum256([]byte("another")), Projects: f.facts.Load().Projects})
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")

	f.Reload(Facts{})
	for _, w := range []*httptest.ResponseRecorder{f.send(t, http.MethodGet, "/grid/start", ""), f.signIn(t, "")} {
		if text := w.Header().Get("error"); !strings.Contains(text, "dashboard: {password_sha256: …}") {
			t.Errorf("without a password: got %q, want how to set one", text)
		}
	}
}

// TestOtherSites checks that a page of another site can neither sign in nor
// erase, whatever cookies its visitor has.
func TestOtherSites(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cookie = f.facts.Load().sign(time.Now().Add(time.Hour))
	for _, fields := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		wantError(t, f.signIn(t, password, fields...), errOrigin.Msg)
		wantError(t, f.send(t, http.MethodDelete, "/grid/session", "", fields...), errOrigin.Msg)
		wantError(t, f.send(t, http.MethodPost, "/grid/anonymize", `{"project":"`+token+`","customer":"1"}`, fields...), errOrigin.Msg)
	}
	if f.eraser.erased != nil {
		t.Errorf("erased %v", f.eraser.erased)
	}
	wantOK(t, f.signIn(t, password, "Origin", "http://example.com"), "expires") // the test's own host
	wantOK(t, f.signIn(t, password, "Sec-Fetch-Site", "same-origin"), "expires")
}
