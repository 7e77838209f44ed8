package dashboard

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/api"
	"trackway/internal/catalogue"
	"trackway/internal/contract/book"
	"trackway/internal/contract/suggest"
	"trackway/internal/contract/trial"
	"trackway/internal/control/relay"
	"trackway/internal/destination"
	"trackway/internal/destination/listing"
	"trackway/internal/fleet"
	"trackway/internal/format/tracking"
	"trackway/internal/limit"
	"trackway/internal/limit/history"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/people"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/internal/store"
	"trackway/internal/suspect"
)

const token = "12345678-1234-1234-1234-123456789abc"

// fakeEraser records which customers it erases.
type fakeEraser struct{ erased []trackway.Customer }

func (e *fakeEraser) Erase(_ uint32, c trackway.Customer, personal []string, _ trackway.Micros) (query.Erasure, error) {
	if strings.Join(personal, " ") != "email" {
		return query.Erasure{}, errors.New("not what the project says is personal")
	}
	e.erased = append(e.erased, c)
	return query.Erasure{}, nil
}

// fixture is a dashboard with a store of its own.
type fixture struct {
	*Server

	store  *store.Store
	eraser *fakeEraser
	cookie string

	vouched bool // actors are accounts of a provider

	destinations []destination.Status
	unanswered   []relay.Unanswered
	ringing      []alarm.Row
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "store"), store.Options{Cache: 1 << 20, Fatal: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	log, err := history.Open(filepath.Join(t.TempDir(), "limits.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	policies := []trackway.Policy{{Name: "grid", Paths: []string{"/grid/"}, Limit: 15, Window: 30 * time.Second, Candidate: 9}}
	set, err := limit.NewSet(policies, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Record(time.Now(), set.Policies(), nil, history.Access{}); err != nil {
		t.Fatal(err)
	}
	projects := []trackway.Project{{
		Name: "demo", Token: token, Hard: []string{"registered"}, Soft: []string{"cookie"}, Personal: []string{"email"},
		Keys: []trackway.Key{{Kind: trackway.PrivateKey, ID: "private"}, {Kind: trackway.PublicKey, ID: "public"}},
	}}
	if err := st.Register(projects); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	hub, ended := live.New(func(err error) { t.Error(err) }, st), make(chan error)
	go func() { ended <- hub.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, st.Close()); err != nil {
			t.Error(err)
		}
	})
	now := time.Now()
	f := &fixture{store: st, eraser: &fakeEraser{}}
	f.Server = New(Config{
		Facts: Facts{Password: sha256.Sum256([]byte(password)), Projects: projects},
		Store: st, Log: func(uint32) live.Log { return st }, Live: hub, Eraser: f.eraser, Rates: rates.New(now), Limits: limit.New(set, 1024), Watch: watch.New(now),
		History: log, Fleet: fleet.New(fleet.Server{Name: "ts1", URL: "http://ts1"}, []fleet.Server{{Name: "ts2", URL: "http://ts2"}}),
		Health: func() Health { return Health{Reason: "the disk is full", Damaged: 2, DiskFree: 5} }, Version: "v1", Logger: slog.New(slog.DiscardHandler),
		Destinations: func(context.Context) ([]listing.Row, []relay.Unanswered, error) {
			return listing.Of(f.destinations), f.unanswered, nil
		}, Traffic: newRecorder(t),
		ChangeUsers: func(_ context.Context, change func(people.List) (people.List, error)) error {
			next, err := change(f.facts.Load().Users)
			if err == nil {
				f.Use(next)
			}
			return err
		},
		Suspects: suspect.New(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()),
		Types: catalogue.Together(catalogue.New(catalogue.Options{
			Log: st, Store: st.Name(), Path: filepath.Join(t.TempDir(), catalogue.File), Most: 100, Logger: slog.New(slog.DiscardHandler),
		})),
		Contracts: fakeContracts{book.New(), st},
		Alarms:    func(now time.Time) alarm.Report { return alarm.Report{At: now, Ringing: f.ringing} },
	})
	f.Types.Reload(projects)
	return f
}

// fakeContracts tries contracts on a store.
type fakeContracts struct {
	*book.Book

	store *store.Store
}

func (f fakeContracts) Try(ctx context.Context, q trial.Question) (trial.Result, error) {
	return trial.Run(ctx, f.store, q)
}

func (fakeContracts) Suggest(_ context.Context, _ *trackway.Project, types []string, _ time.Duration) ([]suggest.Proposal, error) {
	return []suggest.Proposal{{Type: types[0], Why: "the test proposes nothing"}}, nil
}

// send makes a request as the pages do. An error is returned as status 599, in
// the field "error".
func (f *fixture) send(t *testing.T, method, path, body string, fields ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	if f.cookie != "" {
		r.AddCookie(&http.Cookie{Name: cookieName, Value: f.cookie})
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

// ServeHTTP stands in for internal/api.
func (f *fixture) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := strings.Replace(r.Method, http.MethodHead, http.MethodGet, 1)
	if err := f.Handler(method+" "+r.URL.Path)(w, r, netip.MustParseAddr("203.0.113.9"), func() { w.Header().Set("given-back", "1") }); err != nil {
		text := err.Error()
		if known, ok := errors.AsType[*trackway.Error](err); ok {
			text = tracking.Text(known)
		}
		w.Header().Set("error", text)
		w.WriteHeader(599)
	}
}

func wantError(t *testing.T, w *httptest.ResponseRecorder, want string) {
	t.Helper()
	if got := w.Header().Get("error"); got != want || w.Header().Get("Etag") != "" {
		t.Errorf("got %q (and %d %s), want %q", got, w.Code, w.Body, want)
	}
}

func wantOK(t *testing.T, w *httptest.ResponseRecorder, want ...string) {
	t.Helper()
	for _, want := range want {
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %d %s%s, want %s", w.Code, w.Header().Get("error"), w.Body, want)
		}
	}
	if body := w.Body.Bytes(); !json.Valid(body) {
		t.Errorf("not JSON: %s", body)
	}
}

func (f *fixture) signedIn() *fixture {
	f.cookie = f.facts.Load().sign(time.Now().Add(time.Hour))
	return f
}

// apply stores an event of a customer or, if typ is empty, properties.
func (f *fixture) apply(t *testing.T, typ, registered, cookie, property string) {
	t.Helper()
	c := trackway.Command{
		Kind: trackway.AddEvent, Project: 1, Type: typ, Time: trackway.MicrosOf(time.Now()), Received: trackway.MicrosOf(time.Now()),
		Properties: []trackway.Property{{Name: "email", Value: []byte(`"` + property + `"`)}},
	}
	if typ == "" {
		c.Kind = trackway.UpdateCustomer
	}
	if cookie != "" {
		c.IDs = append(c.IDs, trackway.Identifier{Name: "cookie", Value: cookie})
	}
	if registered != "" {
		c.IDs = append(c.IDs, trackway.Identifier{Name: "registered", Value: registered, Hard: true})
	}
	results := make([]trackway.Result, 1)
	if err := f.store.Apply([]trackway.Command{c}, results); err != nil || results[0].Err != nil {
		t.Fatal(err, results[0].Err)
	}
}

func TestCustomers(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	get := func(path string) *httptest.ResponseRecorder { return f.send(t, http.MethodGet, path, "") }
	const of = "?project=" + token
	wantOK(t, get("/grid/customers"+of), `{"rows":[],"next":null,"total":0,`)
	f.apply(t, "", "jane", "", "j@x")
	f.apply(t, "view", "", "c1", "c@x")
	f.apply(t, "buy", "jane", "c1", "j@x") // this merges the two
	f.apply(t, "view", "joe", "", "")
	wantOK(t, get("/grid/customers"+of+"&rows=1"), `"customer":"3"`, `"next":"`, `"total":2`, `"properties":{}`)
	wantOK(t, get("/grid/customers"+of+"&order=oldest&rows=1"), `{"customer":"1","ids":{"registered":"jane","cookie":["c1"]},"properties":{"email":"j@x"}`)
	find := func(search string) *httptest.ResponseRecorder {
		return f.send(t, http.MethodGet, "/grid/customers"+of+"&rows=1", "", searchField, search)
	}
	wantOK(t, find("q=email%3Dj@x"), `"customer":"1"`, `"total":null`)
	wantOK(t, find("q=jo"), `"customer":"3"`, `"next":null`, `"complete":true`)
	var first struct{ Next string }
	if err := json.Unmarshal(find("q=j").Body.Bytes(), &first); err != nil {
		t.Fatal(err)
	}
	wantOK(t, find("q=j&cursor="+first.Next), `"customer":"3"`)
	wantError(t, find("cursor=%21"), "Field 'cursor': expected the 'next' of an answer to the same question.")
	wantError(t, find("q=%"), "Field 'X-Search': expected q and cursor, encoded as in the query of a URL.")
	wantOK(t, get("/grid/customer"+of+"&customer=2"), `{"customer":"1",`, `{"name":"registered","value":"jane","hard":true}`,
		`"name":"email","value":"j@x"`, `"absorbed":{"cookie":["c1"]}`, `{"type":"view","count":1}`, `"events_total":3,"complete":true`)
	wantOK(t, get("/grid/events"+of+"&customer=1&type=view"), `"seq":"2","type":"view"`, `"customer":"2"`, `"next":null`)
	wantOK(t, get("/grid/events"+of+"&rows=2"), `"type":"view"`, `"type":"buy"`, `"next":"`)
	w := get("/grid/export" + of + "&customer=2")
	wantOK(t, w, `{"ids":{"registered":"jane","cookie":["c1"]},"properties":{"email":"j@x"},"events":[{"type":"view"`)
	if got := w.Header().Get("Content-Disposition"); got != `attachment; filename="customer-1.json"` {
		t.Errorf("got %s", got)
	}
	wantOK(t, f.send(t, http.MethodPost, "/grid/anonymize", `{"project":"`+token+`","customer":"2"}`), `{"success":true}`)
	if len(f.eraser.erased) != 1 || f.eraser.erased[0] != 1 {
		t.Errorf("erased %v, want the survivor", f.eraser.erased)
	}
	for path, want := range map[string]string{
		"/grid/customers":                             "There is no such project.",
		"/grid/customers" + of + "&rows=201":          "Field 'rows': expected a whole number from 1 to 200.",
		"/grid/customers" + of + "&order=up":          "Field 'order': expected one of newest, oldest.",
		"/grid/customer" + of + "&customer=99":        "There is no such customer.",
		"/grid/customer" + of + "&customer=jane":      "Field 'customer': expected the number of a customer.",
		"/grid/events" + of + "&customer=99":          "There is no such customer.",
		"/grid/export" + of:                           "Field 'customer': expected the number of a customer.",
		"/grid/live?rejected=2":                       "Field 'rejected': expected one of 0, 1, only.",
		"/grid/live?customer=1":                       "Field 'project': expected the project of the customer.",
		"/grid/live?project=" + token + "&customer=-": "Field 'customer': expected the number of a customer.",
	} {
		wantError(t, get(path), want)
	}
}

// TestVersions checks that only changed answers are sent again.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.apply(t, "view", "jane", "", "")
	for _, path := range []string{
		"/grid/start", "/grid/customers?project=" + token, "/grid/customer?customer=1&project=" + token, "/grid/events?project=" + token,
	} {
		first := f.send(t, http.MethodGet, path, "")
		wantOK(t, first, "{")
		etag := first.Header().Get("Etag")
		if w := f.send(t, http.MethodGet, path, "", "If-None-Match", `"x", W/`+etag); w.Code != http.StatusNotModified || w.Body.Len() > 0 ||
			w.Header().Get("given-back") == "" {
			t.Errorf("%s: got %d %v %s", path, w.Code, w.Header(), w.Body)
		}
		if w := f.send(t, http.MethodGet, path, "", "If-None-Match", "*"); w.Code != http.StatusOK || w.Header().Get("given-back") != "" {
			t.Errorf("%s: *: got %d %v", path, w.Code, w.Header())
		}
		f.apply(t, "view", "jane", "", "")
		if w := f.send(t, http.MethodGet, path, "", "If-None-Match", etag); w.Code != http.StatusOK {
			t.Errorf("%s: something was added, and the answer is %d", path, w.Code)
		}
	}
	const path = "/grid/customers?project=" + token
	all := f.send(t, http.MethodGet, path, "")
	if w := f.send(t, http.MethodGet, path, "", "If-None-Match", all.Header().Get("Etag"), searchField, "q=joe"); w.Code != http.StatusOK ||
		w.Header().Get("Vary") != searchField {
		t.Errorf("another search: got %d, %v", w.Code, w.Header())
	}
	limits := f.send(t, http.MethodGet, "/grid/limits", "").Header().Get("Etag")
	w := f.send(t, http.MethodGet, "/grid/limits", "", "If-None-Match", limits)
	if w.Code != http.StatusNotModified || w.Header().Get("given-back") != "" {
		t.Errorf("what had to be made to be compared: got %d %v, want 304, not given back", w.Code, w.Header())
	}
	for _, path := range []string{"/grid/overview", "/grid/limits", "/grid/destinations", "/grid/alarms"} {
		if w := f.send(t, http.MethodGet, path, ""); w.Header().Get("Etag") == "" || w.Header().Get("Cache-Control") != "private, no-cache" {
			t.Errorf("%s: got %v", path, w.Header())
		}
	}
}

// The version ignores what always differs, such as the time. It includes what
// is counted.
func TestVersionsOfCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	var memory uint64
	f.Health = func() Health { memory++; return Health{Ready: true, Memory: memory} }
	// No step of the counts ends within the next seconds.
	at := time.Now().Add(5 * time.Minute).Truncate(time.Minute).Add(time.Second)
	etag := func(do func(*request) error, at time.Time) string {
		w := httptest.NewRecorder()
		q := &request{Server: f.Server, facts: f.facts.Load(), user: people.Everything, w: w, now: at, r: httptest.NewRequest(http.MethodGet, "/grid/x", nil)}
		if err := do(q); err != nil {
			t.Fatal(err)
		}
		return w.Header().Get("Etag")
	}
	for name, do := range map[string]func(*request) error{"overview": (*request).overview, "limits": (*request).limits} {
		first := etag(do, at)
		if again := etag(do, at.Add(time.Second)); again != first {
			t.Errorf("%s: nothing has changed in a second, and the version has", name)
		}
		f.Rates.Count(at, rates.Accepted, 1)
		f.Rates.Refusal(at.Add(-20*time.Second), "grid")
		if later := etag(do, at.Add(2*time.Second)); later == first {
			t.Errorf("%s: a count has changed, and the version has not", name)
		}
	}
}

func TestOverview(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.apply(t, "view", "jane", "", "")
	f.apply(t, "view", "joe", "", "")
	f.apply(t, "buy", "joe", "", "")
	f.Rates.Count(time.Now(), rates.Accepted, 3)
	month := time.Now().UTC().Format("2006-01")
	if err := f.store.Refused(1, trackway.MicrosOf(time.Now().AddDate(0, 0, -32)), 7); err != nil {
		t.Fatal(err)
	}
	wantOK(t, f.send(t, http.MethodGet, "/grid/overview", ""),
		`"totals":{"customers":2,"events":3}`, `"minute":{"accepted":3,"refused":0,`, `"step":10,"accepted":[null,`,
		`"types":[{"project":"`+token+`","type":"view","day":2,"month":2},{"project":"`+token+`","type":"buy","day":1,"month":1}]`,
		`"usage":[{"project":"`+token+`","month":"`+month+`","processed":3,"stored":3,"duplicate":0,"refused":0}]`,
		`{"name":"ts1","region":"","url":"http://ts1","state":"up","self":true}`, `"state":"down","self":false`, `"health":{"ready":false,"reason":"the disk is full","damaged":2,"disk_free":5,`)
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""),
		`"public_key":"public"`, `"types":{"`+token+`":["view","buy"]}`, `"limits":{"grid":{"limit":15,"window":30}}`, `"version":"v1"`)
	f.Rates.Refusal(time.Now().Add(-20*time.Second), "grid")
	wantOK(t, f.send(t, http.MethodGet, "/grid/limits", ""),
		`"name":"grid","paths":["/grid/"],"limit":15`, `"candidate":9,"since":`, `"callers":[]`, `"series":{"grid":[null,`, `"what":"policy"`)
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	const path = "/grid/catalogue?project=" + token
	empty := f.send(t, http.MethodGet, path, "")
	wantOK(t, empty, `"project":"demo","since":null,"until":null,"events":0,"looked_at":0,"exact":true,"other_types":0,"types":[]}`)
	f.apply(t, "view", "jane", "", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Types.Run(ctx); err != nil { // once
		t.Fatal(err)
	}
	w := f.send(t, http.MethodGet, path, "", "If-None-Match", empty.Header().Get("Etag"))
	wantOK(t, w, `"types":[{"type":"view","events":1,"share":1,"events_24h":1,`)
	if w := f.send(t, http.MethodGet, path, "", "If-None-Match", w.Header().Get("Etag")); w.Code != http.StatusNotModified {
		t.Errorf("nothing has changed: got %d", w.Code)
	}
	wantError(t, f.send(t, http.MethodGet, "/grid/catalogue?project=other", ""), "There is no such project.")
	f.cookie = ""
	wantError(t, f.send(t, http.MethodGet, path, ""), "Sign in first.")
}

func TestDestinations(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	empty := f.send(t, http.MethodGet, "/grid/destinations", "")
	wantOK(t, empty, `"destinations":[]`)
	etag := empty.Header().Get("Etag")
	if w := f.send(t, http.MethodGet, "/grid/destinations", "", "If-None-Match", etag); w.Code != http.StatusNotModified {
		t.Errorf("nothing has changed: got %d", w.Code)
	}
	f.destinations = []destination.Status{{
		Name: "warehouse", Kind: "postgres", State: destination.Retrying, Position: 7, LagEvents: 5, Lag: 90 * time.Second, Rate: 1.5, History: []uint64{0, 3},
		Error: "the connection was refused", Rejected: map[string]uint64{"too large": 2}, Misfits: []destination.Misfit{{Type: "buy", Property: "total", Values: 4}},
	}}
	w := f.send(t, http.MethodGet, "/grid/destinations", "", "If-None-Match", etag)
	wantOK(t, w, `"name":"warehouse","kind":"postgres","state":"retrying","position":7,"lag_events":5,"lag_seconds":90`, `"history":[0,3]`,
		`"error":"the connection was refused"`, `"rejected":{"too large":2}`, `"misfits":[{"type":"buy","property":"total","values":4}]`, `"unanswered":[]`)
	f.unanswered = []relay.Unanswered{{Partition: "p01", Error: "nobody leads"}}
	wantOK(t, f.send(t, http.MethodGet, "/grid/destinations", ""), `"name":"warehouse"`, `"unanswered":[{"partition":"p01","error":"nobody leads"}]`)
	f.cookie = ""
	wantError(t, f.send(t, http.MethodGet, "/grid/destinations", ""), "Sign in first.")
}

func TestAlarms(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	quiet := f.send(t, http.MethodGet, "/grid/alarms", "")
	etag := quiet.Header().Get("Etag")
	if w := f.send(t, http.MethodGet, "/grid/alarms", "", "If-None-Match", etag); w.Code != http.StatusNotModified {
		t.Errorf("nothing has changed but the time: got %d", w.Code)
	}
	f.ringing = []alarm.Row{{Kind: "disk_full", Headline: "Disk full", Text: "The disk is full."}}
	wantOK(t, f.send(t, http.MethodGet, "/grid/alarms", "", "If-None-Match", etag), `"ringing":[{"kind":"disk_full",`)
	f.cookie = ""
	wantError(t, f.send(t, http.MethodGet, "/grid/alarms", ""), "Sign in first.")
}

// lines reads a stream until it ends.
func lines(t *testing.T, body io.Reader) <-chan string {
	t.Helper()
	ch := make(chan string, 1000)
	go func() {
		defer close(ch)
		for s := bufio.NewScanner(body); s.Scan(); {
			ch <- s.Text()
		}
	}()
	return ch
}

// await returns the next line with a given prefix.
func await(t *testing.T, ch <-chan string, prefix string) string {
	t.Helper()
	for line := range ch {
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
	t.Fatalf("the stream ended without %q", prefix)
	return ""
}

func TestLive(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	srv := httptest.NewServer(f)
	defer srv.Close()
	open := func(query string, fields ...string) (<-chan string, func()) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+"/grid/live"+query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: cookieName, Value: f.cookie})
		for i := 0; i < len(fields); i += 2 {
			r.Header.Set(fields[i], fields[i+1])
		}
		res, err := srv.Client().Do(r) //nolint:bodyclose // the caller disconnects
		if err != nil || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(res.Header, err)
		}
		return lines(t, res.Body), func() { _ = res.Body.Close() }
	}
	f.apply(t, "before", "jane", "c", "")
	leftOut := func() {
		f.Live.CountLeftOut([]trackway.Identifier{{Name: "registered", Value: "undefined", Hard: true}}, &live.Rejection{
			Project: 1, Received: trackway.MicrosOf(time.Now()), Command: "customers/events", Type: "visit", Address: netip.MustParseAddr("203.0.113.7"),
		})
	}
	leftOut()
	stream, leave := open("?rejected=1&project=" + token)
	await(t, stream, "retry: 2000")
	await(t, stream, "event: leftout")
	if data := await(t, stream, "data: "); !strings.Contains(data, `[{"project":"`+token+`","identifier":"registered","why":"listed","value":"undefined","count":1,"first":`) ||
		!strings.Contains(data, `,"command":"customers/events","type":"visit","address":"203.0.113.7"}]`) {
		t.Errorf("got %s", data)
	}
	await(t, stream, "event: event")
	await(t, stream, "id: 1.0")
	if data := await(t, stream, "data: "); !strings.Contains(data, `"type":"before"`) || !strings.Contains(data, `"ids":{"registered":"jane","cookie":["c"]}`) {
		t.Errorf("got %s", data)
	}
	f.Live.Reject(&live.Rejection{
		Project: 1, Received: 7, Command: "customers", Reason: "No.", IDs: []trackway.Identifier{{Name: "registered", Value: "jane"}},
	})
	await(t, stream, "event: rejected")
	await(t, stream, "id: 1.7")
	const want = `data: {"project":"` + token + `","received":0.000007,"command":"customers","type":null,"ids":{"registered":"jane"},` +
		`"field":null,"error":"No.","address":""}`
	if data := await(t, stream, "data: "); data != want {
		t.Errorf("got  %s\nwant %s", data, want)
	}
	await(t, stream, "event: stats")
	leftOut()
	await(t, stream, "event: leftout")
	if data := await(t, stream, "data: "); !strings.Contains(data, `"count":2`) {
		t.Errorf("got %s", data)
	}
	leave()
	for range stream {
		continue // was under way
	}
	f.apply(t, "meanwhile", "jane", "", "")
	stream, leave = open("", "Last-Event-ID", "1.7")
	defer leave()
	await(t, stream, "event: event")
	if data := await(t, stream, "data: "); !strings.Contains(data, `"seq":"3"`) {
		t.Errorf("resumed with %s", data)
	}

	f.Reload(Facts{Password: sha256.Sum256([]byte("another"))})
	for range stream {
		continue // until the stream ends
	}
}

// TestStreamsAreBounded checks that the number of open streams is limited.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.streams.Store(mostStreams)
	wantError(t, f.send(t, http.MethodGet, "/grid/live", ""), errSlow.Msg)
	if n := f.streams.Load(); n != mostStreams {
		t.Errorf("%d are counted", n)
	}
}

// TestRoutesAreServed checks that the public listener serves each route of the
// dashboard, and no other under /grid/.
func TestRoutesAreServed(t *testing.T) {
	t.Parallel()
	var served []string
	for _, route := range api.Routes() {
		if strings.Contains(route, " /grid/") {
			served = append(served, route)
		}
	}
	slices.Sort(served)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(newFixture(t).routes)), served); diff != "" {
		t.Error("(-dashboard +api):\n" + diff)
	}
	if newFixture(t).Handler("GET /grid/nothing") != nil {
		t.Error("there is a handler for what is no route")
	}
}
