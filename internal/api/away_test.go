package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/api/passing"
	"trackway/internal/people"
)

// behaving carries calls to a server in this process, in a way that a test
// chooses.
type behaving struct {
	leading

	before error // it does not reach the server
	after  error // it reaches the server, and the answer is lost
}

// RoundTrip implements [http.RoundTripper].
func (b *behaving) RoundTrip(r *http.Request) (*http.Response, error) {
	if b.before != nil {
		return nil, b.before
	}
	res, err := b.leading.RoundTrip(r)
	if b.after != nil {
		return nil, b.after
	}
	return res, err
}

// elsewhere returns a server that does not hold the project, and the holders
// that it knows.
func elsewhere(t *testing.T, to ...http.RoundTripper) *stored {
	t.Helper()
	r := newReading(t, trackway.Policy{Name: "few", Paths: []string{"/"}, Limit: 1000, Window: time.Minute})
	r.away.Holders = func(uint32) ([]http.RoundTripper, bool) { return to, false }
	return r
}

// TestAway: a server that does not hold a project answers each kind of call as
// one that does. It counts the call itself.
func TestAway(t *testing.T) {
	t.Parallel()
	holder := newReading(t, trackway.Policy{Name: "few", Paths: []string{"/"}, Limit: 1000, Window: time.Minute})
	holder.eraser = erasedStore{}
	holder.apply(setPlan(`"`+strings.Repeat("x", 200_000)+`"`, 0, janeID))
	to := &behaving{leading: leading{server: holder.Server}}
	r := elsewhere(t, to)
	private := "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))
	jane := `{"customer_ids":{"registered":"jane"}`
	calls := 0
	for _, rt := range r.routes() {
		if strings.HasPrefix(rt.path, "/grid/") || rt.admin || rt.server || rt.open || rt.anywhere {
			continue
		}
		path := strings.NewReplacer("{token}", projectToken, "{id}", "registered=jane", "{stream}", "x").Replace(rt.path)
		for _, body := range []string{"", jane + "}", jane + `,"event_type":"e","properties":{"a":1}}`, jane + `,"event_types":["e"]}`, "{", `{"commands":[]}`} {
			if body == "" && rt.maxBody > 0 || body != "" && rt.maxBody == 0 {
				continue
			}
			for _, key := range []string{private, "Token " + publicToken} {
				calls++
				send := func(at *stored) (int, http.Header, string) {
					req := httptest.NewRequest(rt.method, path, strings.NewReader(body))
					req.Header.Set("Authorization", key)
					req.Header.Set("Content-Type", "application/json")
					req.Header.Set("X-Request-Id", "mine")
					w := httptest.NewRecorder()
					at.Server.ServeHTTP(w, req)
					return w.Code, w.Header(), w.Body.String()
				}
				status, header, answer := send(holder)
				status2, header2, answer2 := send(r)
				for _, h := range []http.Header{header, header2} {
					maps.DeleteFunc(h, func(name string, _ []string) bool {
						return strings.HasPrefix(strings.ToLower(name), "x-ratelimit") || strings.HasPrefix(name, "Ratelimit") || name == "Content-Length" || name == "Connection"
					})
				}
				if status != status2 || answer != answer2 || !maps.EqualFunc(header, header2, slices.Equal) {
					t.Errorf("%s %s %q: got %d %v %.300s, want %d %v %.300s", rt.method, path, body, status2, header2, answer2, status, header, answer)
				}
			}
		}
	}
	if calls < 50 || len(to.asked) < calls/4 {
		t.Errorf("%d of %d calls were passed on", len(to.asked), calls)
	}
	if r.ingest.cmds != nil || len(holder.ingest.cmds) == 0 {
		t.Errorf("%d commands are here, and %d there", len(r.ingest.cmds), len(holder.ingest.cmds))
	}
	w := r.get("customers")
	if got := remaining(w.Header()); got == "" || got != remaining(holder.get("customers").Header()) {
		t.Errorf("the calls were not counted once, where they came: %s", got)
	}
	before := remaining(r.get("events?rows=1").Header())
	tag := r.get("events?rows=1").Header().Get("ETag")
	if w := r.get("events?rows=1", "If-None-Match", tag); w.Code != http.StatusNotModified || remaining(w.Header()) >= before {
		t.Errorf("got %d, %v", w.Code, w.Header())
	}
}

// TestAwayFails: a write is tried again only if it was surely not carried out.
func TestAwayFails(t *testing.T) {
	t.Parallel()
	notThere := newReading(t)
	notThere.away.Holders = func(uint32) ([]http.RoundTripper, bool) {
		return []http.RoundTripper{&behaving{before: errors.New("again")}}, false
	}
	for _, test := range []struct {
		name          string
		first         *behaving
		write, read   int
		carried, told int // by the first one, and by the second one
	}{
		{"refused", &behaving{before: passing.ErrNotCarriedOut}, 200, 200, 0, 1},
		{"not mine", &behaving{leading: leading{server: notThere.Server}}, 200, 200, 0, 1},
		{"broken", &behaving{before: errors.New("broken")}, 503, 200, 0, 0},
		{"lost", &behaving{after: errors.New("lost")}, 503, 200, 1, 0},
	} {
		first, second := newReading(t), newReading(t)
		if test.first.server == nil {
			test.first.server = first.Server
		}
		r := elsewhere(t, test.first, &behaving{leading: leading{server: second.Server}})
		w := r.post(trackBase+"customers/events", strings.NewReader(goodEvent))
		if w.Code != test.write || w.Code == 503 && w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: a write got %d %s", test.name, w.Code, w.Body)
		}
		if len(first.ingest.cmds) != test.carried || len(second.ingest.cmds) != test.told {
			t.Errorf("%s: carried out %d and %d times", test.name, len(first.ingest.cmds), len(second.ingest.cmds))
		}
		if w := r.get("customers"); w.Code != test.read {
			t.Errorf("%s: a read got %d %s", test.name, w.Code, w.Body)
		}
	}
	r := elsewhere(t)
	check(t, r.post(trackBase+"customers/events", strings.NewReader(goodEvent)), 503, "none that does has answered")
	check(t, r.send(http.MethodGet, trackBase+"system/time", nil), 200, "time")
}

// TestPagesAway: a request of the pages goes to the holder if the dashboard
// says so, with the user's name and role in the project, and nothing else.
func TestPagesAway(t *testing.T) {
	t.Parallel()
	holder := newFixture(t)
	seen := ""
	holder.dashboard.serve = func(w http.ResponseWriter, r *http.Request) error {
		u := people.Passed(r.Context())
		seen = fmt.Sprint(u.Name, " ", u.All, " ", u.In, " ", r.Header.Get("X-Search"), r.Header.Get("Cookie"), " ", r.URL.RawQuery)
		w.Header().Set("Content-Disposition", "attachment")
		_, err := w.Write([]byte(`{"a":1}`))
		return err
	}
	r := newFixture(t)
	r.away.Holders = func(uint32) ([]http.RoundTripper, bool) {
		return []http.RoundTripper{&behaving{leading: leading{server: holder.Server}}}, false
	}
	r.dashboard.serve = func(_ http.ResponseWriter, q *http.Request) error {
		if people.Passed(q.Context()) != nil {
			t.Error("a client has said who it is")
		}
		return &people.ElsewhereError{Project: 1, Token: projectToken, User: "ann", Role: people.Analyst}
	}
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodGet, "/grid/customers?project="+projectToken, nil)
	req.Header.Set("X-Search", "q=jane")
	req.Header.Set("Cookie", "trackway_session=secret")
	req.Header.Set("Trackway-Caller", "e30")
	r.Server.ServeHTTP(w, req)
	if w.Code != 200 || w.Body.String() != `{"a":1}` || w.Header().Get("Content-Disposition") != "attachment" {
		t.Errorf("got %d %s %v", w.Code, w.Body, w.Header())
	}
	if want := "ann  map[" + projectToken + ":analyst] q=jane project=" + projectToken; seen != want {
		t.Errorf("the holder has seen %q, want %q", seen, want)
	}
}

// TestServerStays: what is asked about this server is answered here, whatever
// project the key is of.
func TestServerStays(t *testing.T) {
	t.Parallel()
	r := elsewhere(t)
	for _, rt := range r.routes() {
		if !rt.server || rt.method != http.MethodGet {
			continue
		}
		req := httptest.NewRequest(rt.method, rt.path, http.NoBody)
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret)))
		w := httptest.NewRecorder()
		r.Server.ServeHTTP(w, req)
		if w.Code == http.StatusServiceUnavailable {
			t.Errorf("%s: got %d %s", rt.path, w.Code, w.Body)
		}
	}
}
