package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway/internal/people"
)

// enter signs a user in, and returns the cookie.
func (f *fixture) enter(t *testing.T, name, password string) string {
	t.Helper()
	f.cookie = ""
	w := f.send(t, http.MethodPost, "/grid/session", `{"name":"`+name+`","password":"`+password+`"}`)
	wantOK(t, w, `"expires":`)
	return w.Result().Cookies()[0].Value
}

func TestUserSignsIn(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	f.cookie = ""
	wantOK(t, f.send(t, http.MethodGet, "/grid/session", ""), `{"users":true,"password":true}`)
	for _, body := range []string{
		`{"name":"viewer","password":"wrong password"}`, `{"name":"nobody","password":"` + goodPassword + `"}`,
		`{"name":"viewer","password":""}`, `{"name":"viewer","password":"` + strings.Repeat("x", 2000) + `"}`,
	} {
		wantError(t, f.send(t, http.MethodPost, "/grid/session", body), "Wrong name or password.")
	}
	for body, want := range map[string]string{
		`{"name":null,"password":"` + password + `"}`:                                   "Field 'name': expected a string.",
		`{"name":"viewer","password":"` + goodPassword + `","new_password":null}`:       "Field 'new_password': expected a string.",
		`{"name":"viewer","password":"` + goodPassword + `","new_password":["secret"]}`: "Field 'new_password': expected a string.",
	} {
		wantError(t, f.send(t, http.MethodPost, "/grid/session", body), want)
	}
	f.cookie = f.enter(t, "Viewer", goodPassword) // in any case
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"user":{"name":"viewer","role":"viewer"}`, `"role":"viewer"}`, `"public_key":null`)
	wantOK(t, f.send(t, http.MethodGet, "/grid/sessions", ""), `"user":"viewer"`, `"address":"203.0.113.9","own":true}`)
	wantOK(t, f.send(t, http.MethodDelete, "/grid/session", ""))
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
}

// TestOnlyUsers checks that without the one password its form of session and an
// empty name open nothing.
func TestOnlyUsers(t *testing.T) {
	t.Parallel()
	f := peopled(t).signedIn()
	facts := f.facts.Load().Facts
	facts.Password = [32]byte{}
	f.Reload(facts)
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
	wantError(t, f.signIn(t, password), errOnlyUser.Msg)
	wantError(t, f.signIn(t, ""), errOnlyUser.Msg)
	wantOK(t, f.send(t, http.MethodGet, "/grid/session", ""), `{"users":true,"password":false}`)
	f.cookie = f.facts.Load().sign(time.Now().Add(time.Hour)) // anybody can make this
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
}

// TestSessionsEnd checks that a session ends at once with its user's password,
// roles, or the user, in open streams too, and that others' sessions go on.
func TestSessionsEnd(t *testing.T) {
	t.Parallel()
	const drop = "?name=viewer"
	for what, do := range map[string]func(*testing.T, *fixture) *httptest.ResponseRecorder{
		"roles": func(t *testing.T, f *fixture) *httptest.ResponseRecorder {
			t.Helper()
			return f.send(t, http.MethodPut, "/grid/users", `{"name":"viewer","roles":["analyst"]}`)
		},
		"password": func(t *testing.T, f *fixture) *httptest.ResponseRecorder {
			t.Helper()
			return f.send(t, http.MethodPut, "/grid/users", `{"name":"viewer","password":"another password"}`)
		},
		"removal": func(t *testing.T, f *fixture) *httptest.ResponseRecorder {
			t.Helper()
			return f.send(t, http.MethodDelete, "/grid/users"+drop, "")
		},
		"an admin": func(t *testing.T, f *fixture) *httptest.ResponseRecorder {
			t.Helper()
			var list struct{ Sessions []struct{ ID, User string } }
			if err := json.Unmarshal(f.send(t, http.MethodGet, "/grid/sessions", "").Body.Bytes(), &list); err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			for _, s := range list.Sessions {
				if s.User == "viewer" {
					w = f.send(t, http.MethodDelete, "/grid/sessions?id="+s.ID, "")
				}
			}
			return w
		},
		"an admin, by name": func(t *testing.T, f *fixture) *httptest.ResponseRecorder {
			t.Helper()
			return f.send(t, http.MethodDelete, "/grid/sessions?user=viewer", "")
		},
		"the configuration": func(t *testing.T, f *fixture) *httptest.ResponseRecorder {
			t.Helper()
			facts := f.facts.Load().Facts
			facts.Users, _ = facts.Users.Remove("viewer")
			f.Reload(facts)
			return f.send(t, http.MethodGet, "/grid/sessions", "")
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			f := peopled(t)
			srv := httptest.NewServer(f)
			defer srv.Close()
			theirs, admin := f.enter(t, "viewer", goodPassword), f.enter(t, "admin", goodPassword)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/grid/live", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: cookieName, Value: theirs})
			res, err := srv.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			stream := lines(t, res.Body)
			await(t, stream, "event: event")
			f.cookie = admin
			wantOK(t, do(t, f), "{")
			for range stream {
				continue // until the stream ends
			}
			wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"name":"admin"`)
			f.cookie = theirs
			wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
		})
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	f.cookie = f.enter(t, "admin", goodPassword)
	add := func(body string) *httptest.ResponseRecorder { return f.send(t, http.MethodPost, "/grid/users", body) }
	wantOK(t, add(`{"name":"ada@example.com","password":"countess of lovelace","roles":["viewer:`+token+`","operator"]}`), `{"success":true}`)
	wantOK(t, f.send(t, http.MethodGet, "/grid/users", ""), `{"name":"ada@example.com","roles":["operator","viewer:`+token+`"],"sessions":0}`, `"users_only":false`)
	if w := f.send(t, http.MethodGet, "/grid/users", ""); strings.Contains(w.Body.String(), "argon2") {
		t.Errorf("it shows what is kept of a password: %s", w.Body)
	}
	for body, want := range map[string]string{
		`{"name":"viewer","password":"countess of lovelace","roles":["viewer"]}`:         "There is a user viewer already.",
		`{"name":"Ada","password":"countess of lovelace","roles":["viewer"]}`:            "Field 'name': expected the name of a user in a JSON object: small letters, digits, and - _ . @ +.",
		`{"name":"b","password":"short","roles":["viewer"]}`:                             "Field 'password': expected 10 to 256 characters.",
		`{"name":"b","password":"aaaaaaaaaaaa","roles":["viewer"]}`:                      "This password is too easy to guess: use at least 5 different characters, and not the name.",
		`{"name":"b","password":"countess of lovelace","roles":["king"]}`:                "Field 'roles': expected viewer, analyst, operator or admin, or one of the first three in a project, as in analyst:TOKEN.",
		`{"name":"b","password":"countess of lovelace","roles":["admin:` + token + `"]}`: "Field 'roles': expected admin without a project: an admin manages the users of all of them.",
		`{"name":"b","password":"countess of lovelace","roles":["viewer:x"]}`:            "There is no such project.",
		`{"name":"b","password":"countess of lovelace","roles":null}`:                    "Field 'roles': expected a list of texts.",
		`{"name":"b","password":null,"roles":["viewer"]}`:                                "Field 'password': expected a string.",
		`{"name":"b","password":"countess of lovelace","roles":[]}`:                      "Field 'roles': expected 1 to 100 roles.",
	} {
		wantError(t, add(body), want)
	}
	for _, w := range []*httptest.ResponseRecorder{
		f.send(t, http.MethodPut, "/grid/users", `{"name":"c","roles":["viewer"]}`), f.send(t, http.MethodDelete, "/grid/users?name=c", ""),
		f.send(t, http.MethodDelete, "/grid/sessions?user=c", ""),
	} {
		wantError(t, w, "There is no user c.")
	}
	wantError(t, f.send(t, http.MethodDelete, "/grid/sessions?id=c", ""), "There is no such session.")

	// One who signs in may choose another password.
	theirs := f.enter(t, "ada@example.com", "countess of lovelace")
	f.cookie = ""
	again := func(next string) *httptest.ResponseRecorder {
		return f.send(t, http.MethodPost, "/grid/session", `{"name":"ada@example.com","password":"countess of lovelace","new_password":"`+next+`"}`)
	}
	wantError(t, again("ada"), "Field 'password': expected 10 to 256 characters.")
	w := again("the analytical engine")
	wantOK(t, w, "expires")
	wantError(t, again("the analytical engine"), "Wrong name or password.")
	f.cookie = w.Result().Cookies()[0].Value
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), "ada@example.com")
	f.cookie = theirs
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
}

// TestOthersSessions checks that only an admin sees and ends others' sessions.
func TestOthersSessions(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	f.enter(t, "viewer", goodPassword)
	id := f.Sessions()[0].ID
	f.cookie = f.enter(t, "operator", goodPassword)
	if w := f.send(t, http.MethodGet, "/grid/sessions", ""); strings.Contains(w.Body.String(), "viewer") {
		t.Errorf("it shows %s", w.Body)
	}
	wantError(t, f.send(t, http.MethodDelete, "/grid/sessions?id="+id, ""), "There is no such session.")
	wantError(t, f.send(t, http.MethodDelete, "/grid/sessions?user=viewer", ""), "This needs the role admin for all projects.")
	wantOK(t, f.send(t, http.MethodDelete, "/grid/sessions", ""), "true") // all of the operator's
	if all := f.Sessions(); len(all) != 1 || all[0].User != "viewer" {
		t.Errorf("left are %v", all)
	}
}

// TestRace checks that a session which begins while its user changes does not
// outlive the change.
func TestRace(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	before := f.facts.Load().Users.Find("viewer")
	users, err := f.facts.Load().Users.Change("viewer", func(u people.User) (people.User, error) { return u.WithRoles([]string{"analyst"}) })
	if err != nil {
		t.Fatal(err)
	}
	f.Use(users)
	f.cookie, _ = f.sessions.Begin(before, netip.Addr{}, time.Now(), time.Hour)
	wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
}

// TestLateChange checks that an admin who was removed while a request waited
// changes nothing by it.
func TestLateChange(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	f.cookie = f.enter(t, "admin", goodPassword)
	change := f.ChangeUsers
	f.ChangeUsers = func(ctx context.Context, do func(people.List) (people.List, error)) error {
		users, err := f.facts.Load().Users.Remove("admin") // somebody else was first
		if err != nil {
			t.Fatal(err)
		}
		f.Use(users)
		return change(ctx, do)
	}
	wantError(t, f.send(t, http.MethodPost, "/grid/users", `{"name":"somebody","password":"`+goodPassword+`","roles":["admin"]}`), "Sign in first.")
	if f.facts.Load().Users.Find("somebody") != nil {
		t.Error("there is a new admin")
	}
}

// TestSignInAgain checks that signing in ends the session that the browser had.
func TestSignInAgain(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"name":"viewer","password":"` + goodPassword + `"}`, `{"password":"` + password + `"}`} {
		f := peopled(t)
		first := f.enter(t, "admin", goodPassword)
		f.cookie = first
		wantError(t, f.send(t, http.MethodPost, "/grid/session", `{"name":"viewer","password":"a wrong guess"}`), "Wrong name or password.")
		wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"name":"admin"`)
		wantOK(t, f.send(t, http.MethodPost, "/grid/session", body), "expires")
		f.cookie = first
		wantError(t, f.send(t, http.MethodGet, "/grid/start", ""), "Sign in first.")
	}
}

// TestMorePersonal checks that an open stream follows the configuration: what a
// reload makes personal is no longer sent to a viewer.
func TestMorePersonal(t *testing.T) {
	t.Parallel()
	f := peopled(t)
	facts := f.facts.Load().Facts
	facts.Projects = slices.Clone(facts.Projects)
	facts.Projects[0].Personal = nil
	f.Reload(facts)
	srv := httptest.NewServer(f)
	defer srv.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/grid/live", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: cookieName, Value: f.enter(t, "viewer", goodPassword)})
	res, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	stream := lines(t, res.Body)
	await(t, stream, "event: event")
	facts.Projects = slices.Clone(facts.Projects)
	facts.Projects[0].Personal = []string{"email"}
	f.Reload(facts)
	f.apply(t, "later", "", "secret-cookie", "hidden@x")
	for line := range stream {
		if strings.Contains(line, "hidden@x") {
			t.Error("it sends ", line)
		}
		if strings.Contains(line, `"type":"later"`) {
			return
		}
	}
}
