package api

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/api/administered"
	"trackway/internal/auth"
)

var errLetIn = errors.New("let in")

// Only a key of the server is let in to the admin API, whatever keys of
// projects may do. A key of the server may do nothing else. The handler learns
// the key's name.
func TestAdminNeedsItsKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	access := f.access.Load().Access
	private := func(name string) trackway.Key {
		return trackway.Key{Name: name, Kind: trackway.PrivateKey, ID: name, Secret: sha256.Sum256([]byte(name))}
	}
	access.Keys = auth.New([]trackway.Project{{Token: projectToken, Keys: []trackway.Key{
		private("all"), {Name: "web", Kind: trackway.PublicKey, ID: publicToken},
	}}}, private("ci"))
	f.Reload(access)
	let := 0
	f.dashboard.serve = func(w http.ResponseWriter, r *http.Request) error {
		let++
		if got := administered.Caller(r); got != "ci" {
			t.Errorf("%s %s is called by %q, want ci", r.Method, r.URL.Path, got)
		}
		w.Header().Set("Cache-Control", "no-store")
		return errLetIn
	}
	wrong := "Basic " + base64.StdEncoding.EncodeToString([]byte("ci:wrong"))
	routes := 0
	for _, rt := range new(Server).routes() {
		if rt.admin != strings.HasPrefix(rt.path, "/api/admin/") {
			t.Errorf("%s %s: is it the admin API's?", rt.method, rt.path)
		}
		if !rt.admin {
			continue
		}
		routes++
		for name, c := range map[string]struct {
			authorization string
			status        int
		}{
			"nobody":                     {"", 401},
			"a public key":               {"Token " + publicToken, 403},
			"a private key":              {asKey("all")[1], 403},
			"an unknown key":             {asKey("nobody")[1], 401},
			"a wrong secret":             {wrong, 403},
			"the secret of another":      {"Basic " + base64.StdEncoding.EncodeToString([]byte("ci:all")), 403},
			"a key of the server":        {asKey("ci")[1], 500},
			"its id as a public token":   {"Token ci", 401},
			"its secret as a public one": {"Bearer ci", 401},
		} {
			var body io.Reader
			if rt.maxBody > 0 {
				body = strings.NewReader("{}")
			}
			r := httptest.NewRequest(rt.method, rt.path, body)
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			w, before := httptest.NewRecorder(), let
			f.ServeHTTP(w, r)
			if w.Code != c.status || (let > before) != (c.status == 500) {
				t.Errorf("%s %s with %s: got %d %s, want %d", rt.method, rt.path, name, w.Code, w.Body, c.status)
			}
		}
	}
	if routes != len(administered.Routes()) || routes < 25 {
		t.Errorf("got %d routes", routes)
	}
	check(t, f.send(http.MethodGet, "/api/limits/usage", nil, asKey("ci")...), http.StatusUnauthorized, "Access key not found")
	check(t, f.send(http.MethodGet, "/api/projects/"+projectToken+"/customers", nil, asKey("ci")...), http.StatusUnauthorized, "Access key not found")
}
