package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/api/position"
)

// fakeLog notes what readers waited for.
type fakeLog struct {
	waited []string
	behind bool // it lacks what it has acknowledged itself
	err    error
	leader http.RoundTripper
}

// of returns the log of all projects.
func of(l position.Log) position.Logs { return func(uint32) position.Log { return l } }

func (l *fakeLog) Leader() http.RoundTripper { return l.leader }

func (*fakeLog) Position() string { return "0.7" }

func (l *fakeLog) Current() bool { return !l.behind }

func (l *fakeLog) Reach(_ context.Context, position string, latest bool) error {
	if latest {
		position += " and the latest"
	}
	l.waited = append(l.waited, position)
	return l.err
}

// TestPosition: answers of a member name its position, and readers wait for
// what they name. Nobody else waits.
func TestPosition(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.apply(trackway.Command{
		Kind: trackway.AddEvent, Project: 1, Type: "visit", Time: november22, Received: november22,
		IDs: []trackway.Identifier{{Name: "registered", Value: "jane", Hard: true}},
	})
	if w := r.get("customers?consistency=strong", "Trackway-Position", "0.1"); w.Code != http.StatusOK || w.Header()["Trackway-Position"] != nil {
		t.Errorf("a server alone: got %d, %v", w.Code, w.Header())
	}
	l := new(fakeLog)
	r.shared = of(l)
	for _, path := range []string{"customers", "customers?rows=1&consistency=strong", "events", "customers/registered=jane"} {
		w := r.get(path, "Trackway-Position", "0.5")
		if got := w.Header().Get("Trackway-Position"); w.Code != http.StatusOK || got != "0.7" {
			t.Errorf("%s: got %d, position %q, %s", path, w.Code, got, w.Body)
		}
	}
	r.get("customers?consistency=strong")
	r.get("customers")
	if want := []string{"0.5", "0.5 and the latest", "0.5", "0.5", " and the latest"}; !slices.Equal(l.waited, want) {
		t.Errorf("waited for %q, want %q", l.waited, want)
	}
	if w := r.get("customers?consistency=weak"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "strong") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	l.err = &trackway.Error{Code: trackway.Overloaded, Msg: "Not yet."}
	if w := r.get("customers?consistency=strong"); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	l.behind = true
	if w := r.get("customers"); w.Code != http.StatusServiceUnavailable || l.waited[len(l.waited)-1] != "" {
		t.Errorf("a server that lacks what it has acknowledged: got %d %s after waiting for %q", w.Code, w.Body, l.waited)
	}
	l.behind = false
	waited := len(l.waited)
	w := r.send(http.MethodPost, trackBase+"customers/events", strings.NewReader(`{"customer_ids":{"registered":"jane"},"event_type":"visit","properties":{}}`),
		"Authorization", "Token "+publicToken, "Trackway-Position", "0.5")
	if w.Code != http.StatusOK || w.Header().Get("Trackway-Position") != "0.7" || len(l.waited) != waited {
		t.Errorf("a writer: got %d, %v", w.Code, w.Header())
	}
	public := r.send(http.MethodGet, "/api/projects/"+projectToken+"/customers?consistency=strong", nil, "Authorization", "Token "+publicToken)
	if public.Code != http.StatusForbidden || len(l.waited) != waited {
		t.Errorf("a caller that may not read: got %d", public.Code)
	}
}
