package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"trackway/internal/query"
)

// scans is a store whose counts last until the test lets them end.
type scans struct {
	together

	begun chan struct{}
	end   chan struct{}
}

func (s scans) Snapshot() query.Snapshot { return s }

func (s scans) Counts(uint32, query.CountRange, func(query.Count) bool) error {
	s.begun <- struct{}{}
	<-s.end
	return nil
}

// However much an address or an IPv6 network requests at the same time, others
// are answered. It has a share of each kind of work, and the rest of its
// requests wait.
func TestReadersHaveAShare(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]func(i int) string{
		"an address": func(int) string { return "198.51.100.1" },
		"a /64":      func(i int) string { return fmt.Sprintf("2001:db8::%x", i+1) },
		"a /48":      func(i int) string { return fmt.Sprintf("2001:db8:0:%x::1", i) },
	} {
		f := newFixture(t).withKeys(every)
		s := scans{begun: make(chan struct{}, 100), end: make(chan struct{})}
		f.reader.store = s
		answered := make(chan int)
		ask := func(from string) {
			q := httptest.NewRequest(http.MethodGet, "/api/projects/"+projectToken+"/stats", nil)
			q.Header.Set("Authorization", asKey("all")[1])
			q.Header.Set("X-Forwarded-For", from)
			w := httptest.NewRecorder()
			f.Server.ServeHTTP(w, q)
			answered <- w.Code
		}
		const scanners = 28
		for i := range scanners {
			go ask(from(i))
		}
		questions := f.reader.places.questions.Counts().Size
		share := map[bool]int{true: (questions + questions/placesPart) / 2, false: questions / placesPart}[name == "a /48"]
		for range share {
			<-s.begun
		}
		for f.reader.places.questions.Counts().Waiting < scanners-share {
			runtime.Gosched()
		}
		if n := len(s.begun); n > 0 {
			t.Errorf("%s: %d scans more than its share have begun", name, n)
		}
		go ask("203.0.113.1")
		<-s.begun // at once, or the test does not end
		close(s.end)
		for range scanners + 1 {
			if code := <-answered; code != 200 {
				t.Errorf("%s: got %d", name, code)
			}
		}
	}
}

// The pages' questions have a share of the same places, and so do their
// erasures and watchers.
func TestDashboardHasAShare(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.reader.patience = 0
	f.dashboard.serve = func(w http.ResponseWriter, r *http.Request) error {
		taken := map[string]int{}
		for name, p := range f.reader.places.named(f.bodies) {
			if n := p.Counts().Taken; n > 0 {
				taken[name] = n
			}
		}
		if want := dashboardPlaces[r.URL.Path]; want == "" && len(taken) > 0 || want != "" && taken[want] != 1 {
			t.Errorf("%s: got places %v, want one of %q", r.URL.Path, taken, want)
		}
		w.WriteHeader(http.StatusOK)
		if f.reader.places.questions.Counts().Taken > 0 {
			t.Errorf("%s: a place is held while the answer is read", r.URL.Path)
		}
		return nil
	}
	sent := 0
	for _, rt := range new(Server).routes() {
		if !strings.HasPrefix(rt.path, "/grid/") {
			continue
		}
		sent++
		ask := func() int {
			w := &timedReader{ResponseRecorder: httptest.NewRecorder()}
			f.Server.ServeHTTP(w, httptest.NewRequest(rt.method, rt.path, http.NoBody))
			if rt.path == "/grid/export" && w.Code == 200 && !w.forever {
				t.Error("a long answer ends with the time that reading the request may take")
			}
			return w.Code
		}
		if code := ask(); code != 200 {
			t.Errorf("%s: got %d", rt.path, code)
		}
		name := dashboardPlaces[rt.path]
		if name == "" {
			continue
		}
		p := f.reader.places.named(f.bodies)[name]
		size := p.Counts().Size
		fill(t, p, size)
		if code := ask(); code != 503 {
			t.Errorf("%s: got %d, want 503 if all places are taken", rt.path, code)
		}
		empty(p, size)
	}
	if sent < 10 {
		t.Errorf("there are %d routes of the pages", sent)
	}
}

// timedReader notes that reading a request has no deadline any more.
type timedReader struct {
	*httptest.ResponseRecorder

	forever bool
}

func (w *timedReader) SetReadDeadline(end time.Time) error {
	w.forever = end.IsZero()
	return nil
}

// dashboardPlaces names the kind of place that each of the pages' routes needs.
// Signing in and the limits read nothing from the store.
var dashboardPlaces = map[string]string{
	"/grid/start": "questions", "/grid/overview": "questions", "/grid/customers": "questions", "/grid/customer": "questions",
	"/grid/events": "questions", "/grid/export": "long_answers", "/grid/live": "watchers", "/grid/anonymize": "erasures",
	"/grid/simulate": "trials", "/grid/suggest": "trials", "/grid/catalogue": "questions", "/grid/contract": "trials",
}

// TestDashboardTakesNoBody: a body that nobody reads, and that may never come,
// does not keep an answer of the pages waiting.
func TestDashboardTakesNoBody(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.dashboard.serve = func(_ http.ResponseWriter, r *http.Request) error {
		t.Errorf("%s %s was served", r.Method, r.URL.Path)
		return nil
	}
	for _, rt := range new(Server).routes() {
		if strings.HasPrefix(rt.path, "/grid/") && rt.maxBody == 0 {
			w := httptest.NewRecorder()
			f.Server.ServeHTTP(w, httptest.NewRequest(rt.method, rt.path, strings.NewReader("x")))
			check(t, w, http.StatusBadRequest, "takes no body")
		}
	}
}

// The metrics tell how places are used.
func TestPlacesAreCounted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	fill(t, f.reader.places.questions, 5)
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if label := m.GetLabel(); len(label) == 1 && label[0].GetValue() == "questions" {
				got[family.GetName()] = m.GetGauge().GetValue()
			}
		}
	}
	if got["trackway_places_taken"] != 5 || got["trackway_places_limit"] != float64(f.reader.places.questions.Counts().Size) {
		t.Errorf("got %v", got)
	}
}
