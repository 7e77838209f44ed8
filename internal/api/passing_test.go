package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/api/passing"
	"trackway/internal/api/position"
)

// behind is the log of a server that lacks what callers have seen, unless they
// have to stay.
type behind struct {
	stayed int
	leader http.RoundTripper
}

func (b *behind) Leader() http.RoundTripper { return b.leader }

func (*behind) Position() string { return "0.5" }

func (*behind) Current() bool { return true }

func (b *behind) Reach(ctx context.Context, _ string, _ bool) error {
	if position.Stays(ctx) {
		b.stayed++
		return nil
	}
	return position.ErrBehind
}

// leading carries questions to a server in this process.
type leading struct {
	server *Server
	down   bool
	asked  []*http.Request
}

func (l *leading) RoundTrip(r *http.Request) (*http.Response, error) {
	l.asked = append(l.asked, r)
	if l.down {
		return nil, errors.New("connection refused")
	}
	w := httptest.NewRecorder()
	at := r.Clone(r.Context())
	at.RemoteAddr, at.RequestURI = "127.0.0.1:1", r.URL.RequestURI()
	l.server.Passed().ServeHTTP(w, at)
	return w.Result(), nil
}

// remaining returns how many calls are left.
func remaining(h http.Header) string { return strings.Join(h["X-RateLimit-Remaining"], " ") }

// TestPassedOn: a server that lacks what the caller has seen has the leader
// answer. The call counts where it came, and the caller is who it was there.
func TestPassedOn(t *testing.T) {
	t.Parallel()
	few := trackway.Policy{Name: "few", Paths: []string{"/api/", "/data/"}, Limit: 9, Window: time.Minute}
	leader, r := newReading(t, few), newReading(t, few)
	leader.shared = of(&fakeLog{})
	leader.apply(setPlan(`"`+strings.Repeat("x", 200_000)+`"`, 0, janeID))
	b, to := new(behind), &leading{server: leader.Server}
	b.leader, r.shared = to, of(b)
	left := func() string { return remaining(r.get("customers").Header()) }

	w := r.get("customers/registered=jane?x=1", "Trackway-Position", "0.9")
	check(t, w, http.StatusBadRequest, "") // the leader looks at the question
	w = r.get("customers/registered=jane", "Trackway-Position", "0.9", "X-Request-Id", "mine", "Trackway-Caller", "e30")
	check(t, w, http.StatusOK, strings.Repeat("x", 200_000))
	h := w.Header()
	if h.Get("Trackway-Position") != "0.7" || remaining(h) != "7" || h.Get("X-Request-Id") != "mine" {
		t.Errorf("got %v", h)
	}
	if got := to.asked[1].Header; got.Get("Authorization") != "" || got.Get("X-Request-Id") != "mine" {
		t.Errorf("the leader is told %v", got)
	}
	body := `{"customer_ids":{"registered":"jane"}}`
	key := "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))
	w = r.send(http.MethodPost, "/data/v2/projects/"+projectToken+"/customers/export-one", strings.NewReader(body), "Authorization", key, "Trackway-Position", "0.9")
	check(t, w, http.StatusOK, `"registered":"jane"`)

	tag := r.get("events?rows=1", "Trackway-Position", "0.9").Header().Get("ETag")
	before := left()
	w = r.get("events?rows=1", "Trackway-Position", "0.9", "If-None-Match", tag)
	if w.Code != http.StatusNotModified || remaining(w.Header()) != before {
		t.Errorf("got %d, %v, want 304 at no cost, and %s left", w.Code, w.Header(), before)
	}
	if remaining(leader.get("customers").Header()) != "8" {
		t.Error("the leader has counted calls")
	}
	for len(to.asked) < 20 && r.get("customers", "Trackway-Position", "0.9").Code == http.StatusOK {
	}
	if n := len(to.asked); n > 12 {
		t.Errorf("over the limit, %d calls were passed on", n)
	}

	r = newReading(t)
	b.leader, r.shared = &leading{down: true}, of(b)
	r.apply(setPlan(`"here"`, 0, janeID))
	check(t, r.get("customers/registered=jane?consistency=strong"), http.StatusOK, "here")
	if b.stayed != 1 {
		t.Errorf("nobody leads: it waited %d times", b.stayed)
	}
}

// TestPassedOnTakesQuestionsOnly: a member passes on questions of callers that
// may ask them, and nothing else.
func TestPassedOnTakesQuestionsOnly(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.shared = of(&fakeLog{})
	send := func(method, path string, c *passing.Caller) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		front := httptest.NewRequest(method, path, strings.NewReader(`{"customer_ids":{"registered":"jane"}}`))
		via := &leading{server: r.Server}
		w.Header()["X-Request-Id"] = []string{"a"}
		if _, _, err := passing.Pass(t.Context(), via, w, front, path, []byte(`{}`), c, func() {}); err != nil {
			t.Fatal(err)
		}
		return w
	}
	admin := passing.Caller{Project: projectToken, Key: passing.Key{Kind: trackway.PrivateKey}}
	public := passing.Caller{Project: projectToken, Key: passing.Key{Kind: trackway.PublicKey}}
	other := passing.Caller{Project: "00000000-0000-0000-0000-000000000000", Key: passing.Key{Kind: trackway.PrivateKey}}
	check(t, send("GET", "/api/projects/"+projectToken+"/customers", &admin), http.StatusOK, "")
	check(t, send("GET", "/api/projects/"+projectToken+"/customers", &public), http.StatusForbidden, "")
	check(t, send("GET", "/api/projects/"+projectToken+"/customers", &other), http.StatusServiceUnavailable, "")
	check(t, send("POST", trackBase+"customers/events", &admin), http.StatusServiceUnavailable, "")
	check(t, send("POST", "/data/v2/projects/"+projectToken+"/customers/anonymize", &admin), http.StatusServiceUnavailable, "")
	w := httptest.NewRecorder()
	r.Passed().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/projects/"+projectToken+"/customers", http.NoBody))
	check(t, w, http.StatusBadRequest, "")
}
