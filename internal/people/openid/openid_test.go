package openid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oauth2-proxy/mockoidc"

	"trackway/internal/people"
	"trackway/internal/people/openid/openidtest"
)

const base = "http://127.0.0.1:1"

func startProvider(t *testing.T) *openidtest.Provider {
	t.Helper()
	p, err := openidtest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Server.Close() })
	return p
}

func settingsFor(m *openidtest.Provider) Settings {
	return Settings{
		Issuer: m.Issuer(), ClientID: m.ClientID, ClientSecret: m.ClientSecret, Name: "Login Inc.", Scopes: []string{"openid", "profile", "email", "groups"},
		GroupsClaim: []string{"groups"},
		Groups: []Group{
			{"lookers", []string{"viewer"}},
			{"shop", []string{"operator:shop", "analyst:other"}},
			{"chiefs", []string{"admin"}},
		},
	}
}

func jane(also map[string]any) map[string]any {
	claims := map[string]any{"sub": "7", "preferred_username": "jane", "groups": []string{"lookers"}}
	maps.Copy(claims, also)
	return claims
}

// comeBack signs somebody in, up to where the browser comes back.
func comeBack(t *testing.T, p *Provider) (cookie string, sent url.Values) {
	t.Helper()
	to, cookie, err := p.Begin(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	back, err := openidtest.Visit(to)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := strings.Cut(back.String(), "?"); got != base+CallbackPath {
		t.Errorf("the browser comes back to %s", got)
	}
	return cookie, back.Query()
}

func signIn(t *testing.T, p *Provider) (*people.User, error) {
	t.Helper()
	cookie, sent := comeBack(t, p)
	return p.Finish(t.Context(), cookie, sent, time.Now())
}

func wantReason(t *testing.T, what string, u *people.User, err error, want Reason) Refusal {
	t.Helper()
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Reason != want || u != nil {
		t.Errorf("%s: got %v, %v, want %q", what, u, err, want)
		return Refusal{}
	}
	return *r
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	if n := len(m.Seen(mockoidc.DiscoveryEndpoint)); n != 0 {
		t.Errorf("it asks the provider %d times before anybody signs in", n)
	}
	m.Next(jane(map[string]any{"groups": []string{"lookers", "shop", "unknown"}}))
	u, err := signIn(t, p)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"viewer", "analyst:other", "operator:shop"}, u.Roles()); diff != "" || u.Name != "oidc:jane" || u.Key() != "oidc:7" || u.Account.Terms != p.Terms() {
		t.Errorf("got %+v %s", u, diff)
	}
	m.Next(jane(nil))
	if _, err := signIn(t, p); err != nil {
		t.Error(err)
	}
	if n := len(m.Seen(mockoidc.DiscoveryEndpoint)); n != 1 {
		t.Errorf("it asks for the description %d times", n)
	}
	if n := len(m.Seen(mockoidc.TokenEndpoint)); n != 2 {
		t.Errorf("it redeems 2 codes in %d attempts", n)
	}
}

// TestPKCE checks that what is promised is sent: the challenge at the
// beginning, and its verifier at the end, another one for each sign-in. The
// provider checks that they belong together.
func TestPKCE(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	challenges := make(map[string]bool)
	for range 2 {
		m.Next(jane(nil))
		if _, err := signIn(t, p); err != nil {
			t.Fatal(err)
		}
	}
	begun, ended := m.Seen(mockoidc.AuthorizationEndpoint), m.Seen(mockoidc.TokenEndpoint)
	for i, r := range begun {
		challenge, verifier := r.Form.Get("code_challenge"), ended[i].Form.Get("code_verifier")
		want, err := mockoidc.GenerateCodeChallenge("S256", verifier)
		if err != nil || verifier == "" || challenge != want || r.Form.Get("code_challenge_method") != "S256" || challenges[challenge] {
			t.Errorf("got the challenge %q by %q for the verifier %q", challenge, r.Form.Get("code_challenge_method"), verifier)
		}
		challenges[challenge] = true
		for _, name := range []string{"state", "nonce"} {
			if r.Form.Get(name) == "" || i > 0 && r.Form.Get(name) == begun[0].Form.Get(name) {
				t.Errorf("%s is %q", name, r.Form.Get(name))
			}
		}
	}
	// Somebody else's code does not get in: its verifier is another one.
	m.Next(jane(nil))
	_, theirs := comeBack(t, p)
	cookie, sent := comeBack(t, p)
	sent.Set("code", theirs.Get("code"))
	u, err := p.Finish(t.Context(), cookie, sent, time.Now())
	wantReason(t, "another code", u, err, Invalid)
}

// TestState checks that only the browser that began can end, once the provider
// has sent it back, and in time.
func TestState(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	m.Next(jane(nil))
	cookie, sent := comeBack(t, p)
	_, otherCookie, err := p.Begin(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	without := maps.Clone(sent)
	without.Del("state")
	for what, c := range map[string]struct {
		cookie string
		sent   url.Values
		now    time.Time
	}{
		"no cookie":            {"", sent, time.Now()},
		"another browser's":    {otherCookie, sent, time.Now()},
		"no state":             {cookie, without, time.Now()},
		"too late":             {cookie, sent, time.Now().Add(StateTime)},
		"a changed cookie":     {cookie[:len(cookie)-2] + "AA", sent, time.Now()},
		"a long cookie":        {strings.Repeat("A", 10<<20), sent, time.Now()},
		"a refusal":            {p.Seal(&Refusal{Reason: NoAccess}), sent, time.Now()},
		"another process's":    {New(settingsFor(m), base).sealer.seal(forState, newState(time.Now())), sent, time.Now()},
		"empty, with an error": {"", url.Values{"error": {"access_denied"}}, time.Now()},
	} {
		u, err := p.Finish(t.Context(), c.cookie, c.sent, c.now)
		wantReason(t, what, u, err, Expired)
	}
	if n := len(m.Seen(mockoidc.TokenEndpoint)); n != 0 {
		t.Errorf("it asks the provider %d times for strangers", n)
	}
	if strings.Contains(cookie, sent.Get("state")) {
		t.Error("the cookie shows the state")
	}
	elsewhere := maps.Clone(sent)
	elsewhere.Set("iss", "https://evil.example")
	u, err := p.Finish(t.Context(), cookie, elsewhere, time.Now())
	wantReason(t, "another issuer", u, err, Invalid)
	if _, err := p.Finish(t.Context(), cookie, sent, time.Now()); err != nil {
		t.Errorf("the right one: %v", err)
	}
	u, err = p.Finish(t.Context(), cookie, sent, time.Now())
	wantReason(t, "a second time", u, err, Invalid)
}

// TestTokens checks what is wrong with an ID token.
func TestTokens(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	past := time.Now().Add(-time.Minute).Unix()
	for what, c := range map[string]struct {
		claims map[string]any
		want   string
	}{
		"another nonce":    {map[string]any{"nonce": "x"}, "nonce"},
		"no nonce":         {map[string]any{"nonce": nil}, "nonce"},
		"another audience": {map[string]any{"aud": "x"}, "another client"},
		"another party":    {map[string]any{"azp": "x"}, "another client"},
		"many audiences":   {map[string]any{"aud": []string{m.ClientID, "x"}}, "another client"},
		"another issuer":   {map[string]any{"iss": "https://evil.example"}, "another issuer"},
		"expired":          {map[string]any{"exp": past}, "clocks"},
		"no subject":       {map[string]any{"sub": nil}, "sub"},
		"a long subject":   {map[string]any{"sub": strings.Repeat("x", 256)}, "sub"},
	} {
		m.Next(jane(c.claims))
		u, err := signIn(t, p)
		if r := wantReason(t, what, u, err, Invalid); r.Cause == nil || !strings.Contains(r.Cause.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, r.Cause, c.want)
		}
	}
	for what, change := range map[string]func(string) string{
		"unsigned":          func(token string) string { return "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + "." },
		"another signature": func(token string) string { return token[:len(token)-6] + "AAAAAA" },
		"none":              func(string) string { return "" },
	} {
		m.Change(func(path string, body []byte) []byte {
			if path != mockoidc.TokenEndpoint {
				return body
			}
			var answer map[string]any
			if err := json.Unmarshal(body, &answer); err != nil {
				t.Error(err)
			}
			answer["id_token"] = change(answer["id_token"].(string)) // the provider's
			body, _ = json.Marshal(answer)
			return body
		})
		m.Next(jane(nil))
		u, err := signIn(t, p)
		wantReason(t, what, u, err, Invalid)
	}
}

// TestRotation checks that a provider may change its keys.
func TestRotation(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	for range 2 {
		m.Next(jane(nil))
		if _, err := signIn(t, p); err != nil {
			t.Fatal(err)
		}
		if err := m.Rotate(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestClaims checks where groups and names are found. The names of claims may
// have dots, and are never cut at them.
func TestClaims(t *testing.T) {
	t.Parallel()
	const dotted = "https://example.com/roles"
	nested := map[string]any{"realm_access": map[string]any{"roles": []any{"lookers"}}}
	list := []any{"lookers", 7, nil, map[string]any{"lookers": true}}
	for what, c := range map[string]struct {
		path   []string
		claims map[string]any
		in     bool
	}{
		"a list":                       {[]string{"groups"}, map[string]any{"groups": list}, true},
		"a text":                       {[]string{"hd"}, map[string]any{"hd": "lookers"}, true},
		"nested":                       {[]string{"realm_access", "roles"}, nested, true},
		"nested, as one name":          {[]string{"realm_access.roles"}, nested, false},
		"dots":                         {[]string{dotted}, map[string]any{dotted: list}, true},
		"dots, nested":                 {[]string{"a.b", "c.d"}, map[string]any{"a.b": map[string]any{"c.d": list}}, true},
		"dots that could be a path":    {[]string{"a.b"}, map[string]any{"a": map[string]any{"b": list}}, false},
		"a path that could have dots":  {[]string{"a", "b"}, map[string]any{"a.b": list}, false},
		"no such claim":                {[]string{"groups"}, map[string]any{}, false},
		"a path into a text":           {[]string{"groups", "x"}, map[string]any{"groups": "lookers"}, false},
		"an object":                    {[]string{"groups"}, map[string]any{"groups": map[string]any{"lookers": true}}, false},
		"another case":                 {[]string{"groups"}, map[string]any{"groups": []any{"Lookers"}}, false},
		"a part":                       {[]string{"groups"}, map[string]any{"groups": []any{"lookers2", "look"}}, false},
		"empty":                        {[]string{"groups"}, map[string]any{"groups": []any{""}}, false},
		"mail, verified":               {[]string{"email"}, map[string]any{"email": "lookers", "email_verified": true}, true},
		"mail, verified, as some do":   {[]string{"email"}, map[string]any{"email": "lookers", "email_verified": "true"}, true},
		"mail, unverified":             {[]string{"email"}, map[string]any{"email": "lookers", "email_verified": false}, false},
		"mail, nothing said":           {[]string{"email"}, map[string]any{"email": "lookers"}, false},
		"mail, something else is said": {[]string{"email"}, map[string]any{"email": "lookers", "email_verified": 1}, false},
	} {
		c.claims["sub"] = "7"
		s := Settings{GroupsClaim: c.path, Groups: []Group{{"lookers", []string{"viewer"}}}}
		u, err := s.user(c.claims, "terms")
		if in := u != nil && err == nil && u.All == people.Viewer; in != c.in {
			t.Errorf("%s: got %v, %v", what, u, err)
		}
	}
	for what, c := range map[string]struct {
		path   []string
		claims map[string]any
		want   string
	}{
		"usual":            {nil, map[string]any{"preferred_username": "jane", "email": "j@x", "email_verified": true}, "oidc:jane"},
		"a mail address":   {nil, map[string]any{"email": "j@x", "email_verified": true}, "oidc:j@x"},
		"unverified":       {nil, map[string]any{"email": "j@x"}, "oidc:7"},
		"its own":          {[]string{"profile", "nick.name"}, map[string]any{"profile": map[string]any{"nick.name": "jj"}}, "oidc:jj"},
		"not there":        {[]string{"upn"}, map[string]any{"preferred_username": "jane"}, "oidc:7"},
		"mail, unverified": {[]string{"email"}, map[string]any{"email": "j@x"}, ""},
	} {
		c.claims["sub"], c.claims["groups"] = "7", "lookers"
		s := Settings{NameClaim: c.path, GroupsClaim: []string{"groups"}, Groups: []Group{{"lookers", []string{"viewer"}}}}
		u, err := s.user(c.claims, "terms")
		if c.want == "" {
			wantReason(t, what, u, err, Unverified)
		} else if err != nil || u.Name != c.want {
			t.Errorf("%s: got %v, %v", what, u, err)
		}
	}
}

func TestNoGroup(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	for _, groups := range []any{nil, []string{}, []string{"others"}} {
		m.Next(jane(map[string]any{"groups": groups}))
		u, err := signIn(t, p)
		r := wantReason(t, "no group", u, err, NoAccess)
		again := p.Open(p.Seal(&r))
		if again == nil || again.Reason != NoAccess || !strings.Contains(p.Text(again), "oidc:jane may not use this server") {
			t.Errorf("got %+v", again)
		}
	}
	if p.Open("") != nil || New(settingsFor(m), base).Open(p.Seal(&Refusal{Reason: NoAccess})) != nil {
		t.Error("it opens what it has not sealed")
	}
}

// TestErrors checks that nothing that a provider sends is shown, and that no
// secret is in the text for the log.
func TestErrors(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	check := func(what string, u *people.User, err error, want Reason, part string) {
		t.Helper()
		r := wantReason(t, what, u, err, want)
		for _, text := range []string{p.Text(&r), r.Error()} {
			for _, bad := range []string{"<b>", "s3cr3t", m.ClientSecret} {
				if strings.Contains(text, bad) {
					t.Errorf("%s: it shows %q: %s", what, bad, text)
				}
			}
		}
		if !strings.Contains(r.Error(), part) {
			t.Errorf("%s: got %q, want %q", what, r.Error(), part)
		}
	}
	for code, want := range map[string]Reason{"access_denied": Declined, "server_error": Invalid, "<b>s3cr3t": Invalid} {
		cookie, sent := comeBack(t, p)
		sent.Del("code")
		sent.Set("error", code)
		sent.Set("error_description", "<b>s3cr3t")
		u, err := p.Finish(t.Context(), cookie, sent, time.Now())
		check(code, u, err, want, "")
	}
	cookie, sent := comeBack(t, p)
	m.QueueError(&mockoidc.ServerError{Code: http.StatusBadRequest, Error: "<b>s3cr3t", Description: "<b>s3cr3t " + m.ClientSecret + sent.Get("code")})
	u, err := p.Finish(t.Context(), cookie, sent, time.Now())
	check("a refused code", u, err, Invalid, "status 400 and the error that no standard knows")
	wrong := settingsFor(m)
	wrong.ClientSecret = "another s3cr3t"
	u, err = signIn(t, New(wrong, base))
	check("a wrong secret", u, err, Invalid, "invalid_client")
	wrong.Scopes = []string{"profile"}
	wrong.ClientSecret = m.ClientSecret
	u, err = signIn(t, New(wrong, base))
	check("no openid", u, err, Invalid, "is the scope openid among the scopes?")
}

// TestUnreachable checks that a provider that is down costs little, and that an
// old description stays in use.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	p := New(settingsFor(m), base)
	now := time.Now()
	m.Down(true)
	for range 3 {
		_, _, err := p.Begin(t.Context(), now)
		r := wantReason(t, "down", nil, err, Unreachable)
		if !strings.Contains(r.Error(), "status 502") || !strings.Contains(p.Text(&r), "Login Inc. does not answer at the moment") {
			t.Errorf("got %v", r)
		}
	}
	if n := len(m.Seen(mockoidc.DiscoveryEndpoint)); n != 1 {
		t.Errorf("it asks %d times at once", n)
	}
	m.Down(false)
	if _, _, err := p.Begin(t.Context(), now.Add(rest)); err != nil {
		t.Error(err)
	}
	m.Down(true)
	for i := range 2 {
		if _, _, err := p.Begin(t.Context(), now.Add(2*fresh)); err != nil {
			t.Errorf("with an old description, %d: %v", i, err)
		}
	}
	if n := len(m.Seen(mockoidc.DiscoveryEndpoint)); n != 3 {
		t.Errorf("it has asked %d times", n)
	}
	m.Down(false)
	cookie, sent := comeBack(t, p)
	m.Down(true)
	u, err := p.Finish(t.Context(), cookie, sent, time.Now())
	wantReason(t, "down in between", u, err, Invalid)
	_ = m.Server.Close()
	u, err = p.Finish(t.Context(), cookie, sent, time.Now())
	wantReason(t, "gone", u, err, Unreachable)
}

// TestHanging checks that a provider that never answers holds nobody for long,
// and that a crowd that waits for it is bounded.
func TestHanging(t *testing.T) {
	t.Parallel()
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(over) })
	p := New(Settings{Issuer: s.URL, ClientID: "x", Name: "Login Inc."}, base)
	for range mostAtOnce {
		p.places <- struct{}{}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := p.Begin(gone, time.Now())
	wantReason(t, "a crowd", nil, err, Busy)
	<-p.places
	p.client.Timeout = 20 * time.Millisecond
	_, _, err = p.Begin(t.Context(), time.Now())
	wantReason(t, "no answer", nil, err, Unreachable)
}

// TestDescriptions checks that a description that is not good is refused.
func TestDescriptions(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	for what, c := range map[string]struct {
		from, to, want string
	}{
		"another issuer":  {`"issuer":"`, `"issuer":"https://evil.example`, "the issuer must be written as there"},
		"a bad endpoint":  {`"authorization_endpoint":"http`, `"authorization_endpoint":"javascript`, "not https"},
		"no endpoint":     {`"token_endpoint":"`, `"x":"`, "lacks an endpoint"},
		"http for tokens": {`"token_endpoint":"http://127.0.0.1`, `"token_endpoint":"http://login.example`, "not https"},
		"http for keys":   {`"jwks_uri":"http://127.0.0.1`, `"jwks_uri":"http://login.example`, "not https"},
		"no JSON":         {`{`, `<b>`, "not valid"},
	} {
		m.Change(func(path string, body []byte) []byte {
			if path == mockoidc.DiscoveryEndpoint {
				return bytes.Replace(body, []byte(c.from), []byte(c.to), 1)
			}
			return body
		})
		_, _, err := New(settingsFor(m), base).Begin(t.Context(), time.Now())
		if r := wantReason(t, what, nil, err, Unreachable); !strings.Contains(r.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, r, c.want)
		}
	}
}

// TestOnlyHTTPS checks that a provider with HTTPS is never asked without.
func TestOnlyHTTPS(t *testing.T) {
	t.Parallel()
	w, err := newClient("https://login.example").Get("http://127.0.0.1:1/")
	if err == nil {
		_ = w.Body.Close()
	}
	if !errors.Is(err, errPlain) {
		t.Errorf("got %v", err)
	}
	for text, want := range map[string]bool{
		"https://login.example": true, "https://login.example:8443/a/b": true, "http://127.0.0.1:1/oidc": true, "http://localhost": true, "http://[::1]:1": true,
		"http://login.example": false, "http://10.0.0.1": false, "https://": false, "ftp://login.example": false, "https://u:p@login.example": false, "https://login.example#x": false,
	} {
		if u, err := url.Parse(text); err != nil || Good(u) != want {
			t.Errorf("%s: got %v", text, !want)
		}
	}
}

func TestTermsOf(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	s := settingsFor(m)
	p := New(s, base)
	same := s
	same.ClientSecret, same.Name, same.Scopes = "x", "y", nil
	if q := New(same, base); q.Terms() != p.Terms() || p.Is(same, base) || !p.Is(settingsFor(m), base) || p.Is(s, "https://other") {
		t.Error("what accounts do not depend on changes their terms")
	}
	for what, change := range map[string]func(*Settings){
		"issuer": func(s *Settings) { s.Issuer += "x" }, "client": func(s *Settings) { s.ClientID += "x" },
		"name": func(s *Settings) { s.NameClaim = []string{"x"} }, "groups": func(s *Settings) { s.GroupsClaim = []string{"x"} },
		"mapping": func(s *Settings) { s.Groups = s.Groups[1:] },
	} {
		other := settingsFor(m)
		if change(&other); New(other, base).Terms() == p.Terms() {
			t.Errorf("%s: the terms stay the same", what)
		}
	}
	var none *Provider
	if none.Terms() != "" || none.Is(s, base) {
		t.Error("no provider has terms")
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	m := startProvider(t)
	good, wrong, scopes := settingsFor(m), settingsFor(m), settingsFor(m)
	wrong.ClientID = "x"
	scopes.Scopes = append(scopes.Scopes, "roles")
	for what, c := range map[string]struct {
		settings Settings
		want     Examination
	}{
		"good":       {good, Examination{Accepted, Accepted, []string{}}},
		"a client":   {wrong, Examination{Refused, Refused, []string{}}},
		"some scope": {scopes, Examination{Accepted, Refused, []string{"roles"}}}, // this provider minds it
	} {
		got, err := New(c.settings, base).Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&c.want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	m.Down(true)
	if _, err := New(good, base).Examine(t.Context()); err == nil || !strings.Contains(err.Error(), "status 502") {
		t.Errorf("down: got %v", err)
	}
}
