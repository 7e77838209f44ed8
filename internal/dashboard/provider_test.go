package dashboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oauth2-proxy/mockoidc"

	"trackway/internal/audit"
	"trackway/internal/people"
	"trackway/internal/people/openid"
	"trackway/internal/people/openid/openidtest"
)

const publicURL = "http://127.0.0.1:2"

// with puts a provider in force.
func (f *fixture) with(p *openid.Provider) *fixture {
	facts := f.facts.Load().Facts
	facts.Provider = p
	f.Reload(facts)
	return f
}

// vouchedFor is a fixture with a provider that is running.
func vouchedFor(t *testing.T) (*fixture, *openidtest.Provider) {
	t.Helper()
	m, err := openidtest.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Server.Close() })
	return peopled(t).with(openid.New(mapping(m), publicURL)), m
}

func mapping(m *openidtest.Provider) openid.Settings {
	return openid.Settings{
		Issuer: m.Issuer(), ClientID: m.ClientID, ClientSecret: m.ClientSecret, Name: "Login Inc.", Scopes: []string{"openid", "groups"},
		GroupsClaim: []string{"groups"},
		Groups:      []openid.Group{{Name: "lookers", Roles: []string{"viewer"}}, {Name: "chiefs", Roles: []string{"admin"}}},
	}
}

func account(subject, name string, groups ...string) map[string]any {
	return map[string]any{"sub": subject, "preferred_username": name, "groups": groups}
}

// browser keeps cookies as a browser does.
type browser struct {
	*fixture

	jar map[string]*http.Cookie
}

func (f *fixture) browser() *browser { return &browser{f, make(map[string]*http.Cookie)} }

// get makes a request, with the cookies for its path.
func (b *browser) get(t *testing.T, method, target string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	r.Host = "evil.example"
	for _, c := range b.jar {
		if strings.HasPrefix(r.URL.Path, c.Path) {
			r.AddCookie(c)
		}
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.jar[c.Name] = c
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		}
	}
	return w
}

// there goes to the provider, and returns the path at which it comes back.
func (b *browser) there(t *testing.T) string {
	t.Helper()
	w := b.get(t, http.MethodGet, "/grid/oidc")
	if w.Code != http.StatusSeeOther || w.Header().Get("Referrer-Policy") != "no-referrer" || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v", w.Code, w.Header())
	}
	back, err := openidtest.Visit(w.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	path, ok := strings.CutPrefix(back.String(), publicURL)
	if !ok {
		t.Errorf("it comes back to %s, and not to the URL of the configuration", back)
	}
	return path
}

// signIn signs in by the provider.
func (b *browser) signIn(t *testing.T) {
	t.Helper()
	b.back(t, b.there(t))
}

// back comes back from the provider. The answer always leads to the pages.
func (b *browser) back(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := b.get(t, http.MethodGet, path)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" || w.Header().Get("Referrer-Policy") != "no-referrer" || w.Body.Len() > 0 {
		t.Errorf("got %d %v %s", w.Code, w.Header(), w.Body)
	}
	if b.jar[stateCookie] != nil {
		t.Error("the state can be used again")
	}
	return w
}

func (b *browser) wantRefused(t *testing.T, want string) {
	t.Helper()
	if b.jar[cookieName] != nil {
		t.Error("there is a session")
	}
	wantOK(t, b.get(t, http.MethodGet, "/grid/session"), `"provider":"Login Inc.","refused":"`+want)
	if w := b.get(t, http.MethodGet, "/grid/session"); strings.Contains(w.Body.String(), "refused") {
		t.Errorf("it says so twice: %s", w.Body)
	}
}

func TestProviderSignsIn(t *testing.T) {
	t.Parallel()
	f, m := vouchedFor(t)
	var logged bytes.Buffer
	f.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	b := f.browser()
	wantOK(t, b.get(t, http.MethodGet, "/grid/session"), `{"users":true,"password":true,"provider":"Login Inc."}`)
	m.Next(account("7", "ada", "lookers"))
	path := b.there(t)
	if c := b.jar[stateCookie]; c == nil || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/grid/oidc" || c.MaxAge != 600 {
		t.Errorf("got %+v", c)
	}
	b.back(t, path)
	if c := b.jar[cookieName]; c == nil || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.MaxAge != 43200 {
		t.Errorf("got %+v", c)
	}
	wantOK(t, b.get(t, http.MethodGet, "/grid/start"), `"user":{"name":"oidc:ada","role":"viewer"}`)
	wantOK(t, b.get(t, http.MethodGet, "/grid/sessions"), `"user":"oidc:ada"`, `"own":true`)
	// Another sign-in ends the session before.
	old := b.jar[cookieName]
	m.Next(account("7", "ada", "lookers"))
	b.signIn(t)
	if n := len(f.Sessions()); n != 1 || b.jar[cookieName].Value == old.Value {
		t.Errorf("there are %d sessions", n)
	}
	wantOK(t, b.get(t, http.MethodDelete, "/grid/session"))
	if n := len(f.Sessions()); n != 0 {
		t.Errorf("signed out: there are %d sessions", n)
	}
	for _, r := range m.Seen(mockoidc.TokenEndpoint) {
		for name := range r.Form {
			if name != "grant_type" && name != "redirect_uri" && strings.Contains(logged.String(), r.Form.Get(name)) {
				t.Errorf("%s is in the log", name)
			}
		}
	}
}

// TestProviderRefuses checks that no way without a group leads to a session,
// and that the page says why.
func TestProviderRefuses(t *testing.T) {
	t.Parallel()
	f, m := vouchedFor(t)
	var logged bytes.Buffer
	f.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	b := f.browser()
	m.Next(account("8", "<b>eve", "others"))
	b.signIn(t)
	b.wantRefused(t, `The account oidc:\u003cb\u003eeve may not use this server: none of its groups has a role here.`)

	path := b.there(t)
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Del("code")
	query.Set("error", "access_denied")
	query.Set("error_description", "<script>s3cr3t")
	b.back(t, u.Path+"?"+query.Encode())
	b.wantRefused(t, "The sign-in at Login Inc. was declined.")

	path = b.there(t)
	code := mustQuery(t, path).Get("code")
	delete(b.jar, stateCookie)
	b.back(t, path)
	b.wantRefused(t, "The sign-in took too long, or began elsewhere. Begin again, at "+publicURL+"/.")

	path = b.there(t)
	b.back(t, strings.Replace(path, "code=", "code=x", 1))
	b.wantRefused(t, "The sign-in at Login Inc. failed.")
	if text := logged.String(); !strings.Contains(text, "error invalid_grant") || strings.Contains(text, "s3cr3t") || strings.Contains(text, code) || strings.Contains(text, m.ClientSecret) {
		t.Errorf("logged %s", text)
	}

	f.with(openid.New(mapping(m), publicURL)) // it has to ask for the description
	m.Down(true)
	if w := b.get(t, http.MethodGet, "/grid/oidc"); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	b.wantRefused(t, "Login Inc. does not answer at the moment.")
	f.cookie = f.enter(t, "viewer", goodPassword)
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"name":"viewer"`)

	b.jar[refusedCookie] = &http.Cookie{Name: refusedCookie, Value: "eyJyZWFzb24iOiJubyBhY2Nlc3MifQ", Path: "/grid/session"}
	if w := b.get(t, http.MethodGet, "/grid/session"); strings.Contains(w.Body.String(), "refused") {
		t.Errorf("it believes what a stranger has made: %s", w.Body)
	}
	f.with(nil)
	for _, path := range []string{"/grid/oidc", "/grid/oidc/callback"} {
		wantError(t, b.get(t, http.MethodGet, path), errNoProvider.Msg)
	}
}

func mustQuery(t *testing.T, path string) url.Values {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

// TestAccountIsNoUser checks that an account of the name of a user is not taken
// for that user, nor the other way round.
func TestAccountIsNoUser(t *testing.T) {
	t.Parallel()
	f, m := vouchedFor(t)
	local := f.enter(t, "admin", goodPassword)
	b := f.browser()
	m.Next(account("admin", "admin", "lookers"))
	b.signIn(t)
	wantOK(t, b.get(t, http.MethodGet, "/grid/start"), `"user":{"name":"oidc:admin","role":"viewer"}`)
	if w := b.get(t, http.MethodGet, "/grid/sessions"); strings.Contains(w.Body.String(), `"user":"admin"`) {
		t.Errorf("it sees the user's sessions: %s", w.Body)
	}
	wantError(t, b.get(t, http.MethodDelete, "/grid/sessions?user=admin"), "This needs the role admin for all projects.")
	wantOK(t, b.get(t, http.MethodDelete, "/grid/sessions"))
	f.cookie = local
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"user":{"name":"admin","role":"admin"}`)
	for _, name := range []string{"oidc:admin", "oidc:7"} {
		wantError(t, f.send(t, http.MethodPost, "/grid/session", `{"name":"`+name+`","password":""}`), "Wrong name or password.")
		wantError(t, f.send(t, http.MethodPost, "/grid/users", `{"name":"`+name+`","password":"`+goodPassword+`","roles":["viewer"]}`),
			"Field 'name': expected the name of a user in a JSON object: small letters, digits, and - _ . @ +.")
	}

	// Two accounts may show the same name.
	first, second := f.browser(), f.browser()
	m.Next(account("1", "eve", "lookers"))
	first.signIn(t)
	m.Next(account("2", "eve", "lookers"))
	second.signIn(t)
	wantOK(t, first.get(t, http.MethodDelete, "/grid/sessions?user=oidc:eve"))
	wantError(t, first.get(t, http.MethodGet, "/grid/start"), errSignIn.Msg)
	wantOK(t, second.get(t, http.MethodGet, "/grid/start"), `"name":"oidc:eve"`)
	f.cookie = local
	wantOK(t, f.send(t, http.MethodDelete, "/grid/sessions?user=oidc:eve", ""))
	wantError(t, second.get(t, http.MethodGet, "/grid/start"), errSignIn.Msg)
	wantError(t, f.send(t, http.MethodDelete, "/grid/sessions?user=oidc:eve", ""), "There is no user of that name.")
}

// TestAccountSessionsEnd checks what ends the session of an account.
func TestAccountSessionsEnd(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(*testing.T, *fixture, openid.Settings){
		"an admin": func(t *testing.T, f *fixture, _ openid.Settings) {
			t.Helper()
			var list struct{ Sessions []struct{ ID, User string } }
			if err := json.Unmarshal(f.send(t, http.MethodGet, "/grid/sessions", "").Body.Bytes(), &list); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(list.Sessions, func(s struct{ ID, User string }) bool { return s.User == "oidc:ada" })
			wantOK(t, f.send(t, http.MethodDelete, "/grid/sessions?id="+list.Sessions[i].ID, ""))
		},
		"the operator": func(t *testing.T, f *fixture, _ openid.Settings) {
			t.Helper()
			if n := f.SignOut("oidc:ada"); n != 1 {
				t.Errorf("%d sessions end", n)
			}
		},
		"another mapping": func(_ *testing.T, f *fixture, s openid.Settings) {
			s.Groups = s.Groups[1:]
			f.with(openid.New(s, publicURL))
		},
		"no provider": func(_ *testing.T, f *fixture, _ openid.Settings) { f.with(nil) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f, m := vouchedFor(t)
			b := f.browser()
			m.Next(account("7", "ada", "lookers"))
			b.signIn(t)
			f.with(openid.New(mapping(m), publicURL)) // the same again, with another secret for instance
			wantOK(t, b.get(t, http.MethodGet, "/grid/start"), `"oidc:ada"`)
			f.cookie = f.enter(t, "admin", goodPassword)
			ended := f.Sessions()
			i := slices.IndexFunc(ended, func(s people.Session) bool { return s.User == "oidc:ada" })
			do(t, f, mapping(m))
			select {
			case <-ended[i].Ended:
			default:
				t.Error("its streams go on")
			}
			wantError(t, b.get(t, http.MethodGet, "/grid/start"), errSignIn.Msg)
			wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"name":"admin"`)
		})
	}
}

// TestAccountChangesUsers checks the gate behind the first one: an admin by the
// provider may change users, unless the session has ended in the meantime.
func TestAccountChangesUsers(t *testing.T) {
	t.Parallel()
	f, m := vouchedFor(t)
	b := f.browser()
	m.Next(account("7", "ada", "chiefs"))
	b.signIn(t)
	wantOK(t, b.get(t, http.MethodDelete, "/grid/users?name=victim"))
	wantError(t, b.get(t, http.MethodDelete, "/grid/users?name=victim"), "There is no user victim.")
	change := f.ChangeUsers
	f.Server.ChangeUsers = func(ctx context.Context, do func(people.List) (people.List, error)) error {
		f.SignOut("oidc:ada") // while the change waits for its turn
		return change(ctx, do)
	}
	wantError(t, b.get(t, http.MethodDelete, "/grid/users?name=viewer"), errSignIn.Msg)
	if f.facts.Load().Users.Find("viewer") == nil {
		t.Error("the user is removed")
	}
}

// TestOnlyProvider checks that with a provider alone, nothing else opens.
func TestOnlyProvider(t *testing.T) {
	t.Parallel()
	f, m := vouchedFor(t)
	facts := f.facts.Load().Facts
	facts.Users, facts.Password = nil, [32]byte{}
	f.Reload(facts)
	b := f.browser()
	wantOK(t, b.get(t, http.MethodGet, "/grid/session"), `{"users":false,"password":false,"provider":"Login Inc."}`)
	wantError(t, b.get(t, http.MethodGet, "/grid/start"), errSignIn.Msg)
	for _, body := range []string{`{"password":""}`, `{"name":"","password":""}`, `{"name":"admin","password":"` + goodPassword + `"}`, `{"password":"` + password + `"}`} {
		f.cookie = ""
		if w := f.send(t, http.MethodPost, "/grid/session", body); w.Code == http.StatusOK {
			t.Errorf("%s: got %s", body, w.Body)
		}
	}
	f.cookie = newFacts(Facts{Password: sha256.Sum256(nil)}).sign(time.Now().Add(time.Hour))
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), errSignIn.Msg)
	m.Next(account("7", "ada", "chiefs", "lookers"))
	b.signIn(t)
	wantOK(t, b.get(t, http.MethodGet, "/grid/users"), `{"users":[],"users_only":true}`)
}

// TestSecureCookies checks that the cookies of a sign-in need HTTPS if the
// pages have it.
func TestSecureCookies(t *testing.T) {
	t.Parallel()
	_, m := vouchedFor(t)
	f := newFixture(t).with(openid.New(mapping(m), "https://ts1.example.com"))
	b := f.browser()
	w := b.get(t, http.MethodGet, "/grid/oidc")
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || to.Query().Get("redirect_uri") != "https://ts1.example.com/grid/oidc/callback" || !b.jar[stateCookie].Secure {
		t.Errorf("got %v, %v", to, slices.Collect(maps.Values(b.jar)))
	}
}

// TestProviderRecorded checks that a sign-in by a provider is in the audit log,
// by a name that no user has, and not done without an entry.
func TestProviderRecorded(t *testing.T) {
	t.Parallel()
	f, m := vouchedFor(t)
	dir := t.TempDir()
	f.Audit = audit.New(dir, slog.New(slog.DiscardHandler))
	b := f.browser()
	m.Next(account("7", "admin", "lookers"))
	b.signIn(t)
	wantOK(t, b.get(t, http.MethodDelete, "/grid/session"))
	want := []string{
		"oidc:admin|session.sign-in|||allowed|by Login Inc., subject 7",
		"oidc:admin|session.sign-out|||done|",
	}
	if diff := cmp.Diff(want, f.entries(t)); diff != "" {
		t.Error(diff)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	m.Next(account("7", "admin", "lookers"))
	if w := b.get(t, http.MethodGet, b.there(t)); w.Code == http.StatusSeeOther || b.jar[cookieName] != nil {
		t.Errorf("without an entry: got %d", w.Code)
	}
}
