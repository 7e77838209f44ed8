package api

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"

	"trackway"
	"trackway/internal/alarm"
	"trackway/internal/api/body"
	"trackway/internal/api/room"
	"trackway/internal/auth"
	"trackway/internal/catalogue"
	"trackway/internal/change"
	"trackway/internal/clientip"
	"trackway/internal/fleet"
	"trackway/internal/limit"
	"trackway/internal/limit/traffic"
	"trackway/internal/limit/watch"
	"trackway/internal/live"
	"trackway/internal/query"
	"trackway/internal/rates"
	"trackway/internal/suspect"
	"trackway/openapi/openapitest"
)

const (
	projectToken = "12345678-1234-1234-1234-123456789abc"
	trackBase    = "/track/v2/projects/" + projectToken + "/"
	dataBase     = "/data/v2/projects/" + projectToken + "/"
	publicToken  = "public-token"

	privateSecret = "private-secret"
)

// fakeIngest takes everything in, or fails.
type fakeIngest struct {
	err    error
	cmds   []trackway.Command
	stored int // of cmds, those that were not refused before
}

func (f *fakeIngest) Accept(_ *trackway.Project, _ trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	for i := range cmds {
		f.cmds = append(f.cmds, owned(&cmds[i]))
		if cmds[i].Kind != trackway.Nothing && results[i].Err == nil {
			f.stored++
		}
	}
	return f.err
}

// owned returns a command that is not a part of a body any more.
func owned(c *trackway.Command) trackway.Command {
	own := *c
	ids := func(all []trackway.Identifier) (owned []trackway.Identifier) {
		for _, id := range all {
			owned = append(owned, id.Clone())
		}
		return owned
	}
	own.Type, own.IDs, own.LeftOut, own.Properties = strings.Clone(c.Type), ids(c.IDs), ids(c.LeftOut), nil
	for _, p := range c.Properties {
		own.Properties = append(own.Properties, trackway.Property{Name: strings.Clone(p.Name), Value: bytes.Clone(p.Value)})
	}
	if c.Unheld != nil {
		unheld := c.Unheld.Clone()
		own.Unheld = &unheld
	}
	return own
}

// brokenStore is a store that cannot be read.
type brokenStore struct{}

var errDisk = errors.New("disk on fire: jane@example.com")

func (brokenStore) Snapshot() query.Snapshot      { return noSnapshot{} }
func (brokenStore) Version(uint32) change.Version { return change.Version{} }

type noSnapshot struct{}

func (noSnapshot) Find(uint32, trackway.Identifier) (trackway.Customer, error) { return 0, errDisk }
func (noSnapshot) Profile(uint32, trackway.Customer) (*trackway.Profile, error) {
	return nil, errDisk
}

func (noSnapshot) Survivor(uint32, trackway.Customer) (trackway.Customer, error) { return 0, errDisk }

func (noSnapshot) Customers(uint32, query.CustomerRange, func(trackway.Customer, []byte) bool) error {
	return errDisk
}

func (noSnapshot) Identifiers(uint32, string, string, string, func(string, trackway.Customer) bool) error {
	return errDisk
}

func (noSnapshot) Timeline(uint32, trackway.Customer, query.TimelineRange, func(*trackway.Event, query.Place) bool) error {
	return errDisk
}
func (noSnapshot) Log(query.LogRange, func(*trackway.Event) bool) error          { return errDisk }
func (noSnapshot) Counts(uint32, query.CountRange, func(query.Count) bool) error { return errDisk }
func (noSnapshot) CountedByName(uint32, string) bool                             { return false }

func (noSnapshot) Events(uint32, trackway.Customer, bool, func(*trackway.Event) bool) error {
	return errDisk
}
func (noSnapshot) Profiles(uint32, func(*trackway.Profile) bool) error   { return errDisk }
func (noSnapshot) Usage(uint32, func(query.Day, query.Usage) bool) error { return errDisk }
func (noSnapshot) Close() error                                          { return nil }

type fixture struct {
	*Server

	t        testing.TB
	contract *openapitest.Contract
	ingest   *fakeIngest
	log      *bytes.Buffer
	registry *prometheus.Registry

	dashboard *fakeDashboard
}

func newFixture(t testing.TB, policies ...trackway.Policy) *fixture {
	t.Helper()
	set, err := limit.NewSet(policies, nil)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, contract: loadContract(t), ingest: &fakeIngest{}, dashboard: &fakeDashboard{}, log: &bytes.Buffer{}, registry: prometheus.NewRegistry()}
	f.Server = New(Config{
		Limits: limit.New(set, 1024), Ingest: f.ingest, Store: brokenStore{},
		Fleet: fleet.New(self, []fleet.Server{{Name: "ts2.us", Region: "us", URL: "http://ts2.us"}}), History: openHistory(t), Version: "v1.2.3",
		Watch: watch.New(time.Now()), Traffic: traffic.New("", nil, nil), Rates: rates.New(time.Now()), Live: live.New(nil), Dashboard: f.dashboard, Types: catalogue.Together(newCatalogue(t)), Suspects: suspect.New(nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry()), Contracts: newContracts(t),
		Alarms: func(now time.Time) alarm.Report { return reported(now) },
		Log:    slog.New(slog.NewTextHandler(f.log, nil)), Registry: f.registry,
		Access: Access{Name: "ts1.eu", Clients: clients, Guide: newGuide(t, set), Keys: auth.New([]trackway.Project{{
			Name: "demo", Number: 1, Token: projectToken, Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie",
			Keys: []trackway.Key{
				{Name: "web", Kind: trackway.PublicKey, ID: publicToken},
				{Name: "reader", Kind: trackway.PublicKey, ID: readerToken, Permissions: map[trackway.Permission][]string{trackway.SetEvents: {"buy"}}},
				{Name: "back", Kind: trackway.PrivateKey, ID: "id", Secret: sha256.Sum256([]byte(privateSecret))},
			},
		}})},
	})
	return f
}

// ServeHTTP serves a request, and fails the test if the request or the answer
// departs from the contract.
func (f *fixture) ServeHTTP(w *httptest.ResponseRecorder, r *http.Request) {
	f.t.Helper()
	f.contract.Serve(f.t, f.Server, w, r)
}

// post sends a body to the tracking API with a public key, and header fields in
// pairs.
func (f *fixture) post(path string, body io.Reader, fields ...string) *httptest.ResponseRecorder {
	return f.send(http.MethodPost, path, body, fields...)
}

func (f *fixture) send(method, path string, body io.Reader, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, body)
	r.Header.Set("Authorization", "Token "+publicToken)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w
}

func check(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), body) {
		t.Errorf("got %d %s, want %d with %q", w.Code, w.Body, status, body)
	}
}

const goodEvent = `{"customer_ids":{"cookie":"c"},"event_type":"e","properties":{"long":"` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `"}}`

func TestEncodings(t *testing.T) {
	t.Parallel()
	pack := func(open func(io.Writer) io.WriteCloser) io.Reader {
		var b bytes.Buffer
		w := open(&b)
		if _, err := io.WriteString(w, goodEvent); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	gz := pack(func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	zl := pack(func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	raw := pack(func(w io.Writer) io.WriteCloser { fw, _ := flate.NewWriter(w, 5); return fw })
	zs := pack(func(w io.Writer) io.WriteCloser { zw, _ := zstd.NewWriter(w); return zw })
	f := newFixture(t)
	for _, c := range []struct {
		name, coding string
		body         io.Reader
		status       int
		want         string
	}{
		{"plain", "", strings.NewReader(goodEvent), 200, `"success":true`},
		{"identity", "identity", strings.NewReader(goodEvent), 200, `"success":true`},
		{"gzip", "gzip", gz, 200, `"success":true`},
		{"deflate as zlib", "deflate", zl, 200, `"success":true`},
		{"deflate as it is", "deflate", raw, 200, `"success":true`},
		{"zstd", "Zstd", zs, 200, `"success":true`},
		{"not gzip", "gzip", strings.NewReader(goodEvent), 400, "not in the encoding"},
		{"empty gzip", "gzip", strings.NewReader(""), 400, "ends too early"},
		{"unknown", "br", strings.NewReader(goodEvent), 415, "expected gzip, zstd or deflate"},
		{"twice", "gzip, gzip", strings.NewReader(goodEvent), 415, "expected gzip, zstd or deflate"},
	} {
		w := f.post(trackBase+"customers/events", c.body, "Content-Encoding", c.coding)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, w.Code, w.Body, c.status, c.want)
		}
		if w.Code == 200 {
			if got := len(f.ingest.cmds); got != 1 || f.ingest.cmds[0].Type != "e" {
				t.Errorf("%s: got %d commands", c.name, got)
			}
			f.ingest.cmds = nil
		}
	}
	if used := f.bodies.Memory.Used(); used != 0 {
		t.Errorf("%d bytes of room were not given back", used)
	}
}

// A small body that inflates beyond the bound must be refused without inflating
// all of it.
func TestInflatedSizeIsBounded(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	check(t, f.post(trackBase+"customers/events", &bomb, "Content-Encoding", "gzip"), 413, `{"errors":{"code":413,`)
	check(t, f.post(trackBase+"customers/events", bytes.NewReader(make([]byte, maxSingleBody+1))), 413, `{"errors":{"code":413,`)
	chunked := struct{ io.Reader }{bytes.NewReader(make([]byte, maxSingleBody+1))} // of unknown length
	check(t, f.post(trackBase+"customers/events", chunked), 413, `{"errors":{"code":413,`)
	if used := f.bodies.Memory.Used(); used != 0 {
		t.Errorf("%d bytes of room were not given back", used)
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// A body that announces too large a size is refused unread.
func TestTooLargeIsNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	r := httptest.NewRequest(http.MethodPost, trackBase+"customers/events", unread{t})
	r.Header.Set("Authorization", "Token "+publicToken)
	r.ContentLength = maxSingleBody + 1
	w := httptest.NewRecorder()
	f.Server.ServeHTTP(w, r)
	check(t, w, 413, `{"errors":{"code":413,`)
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for media, status := range map[string]int{
		"": 200, "application/json": 200, "application/json; charset=utf-8": 200, "text/plain;charset=UTF-8": 200,
		"application/cloudevents+json": 200, "application/x-www-form-urlencoded": 200,
		"multipart/form-data; boundary=x": 415, "application/xml": 415, "json": 415, ";": 415,
	} {
		if w := f.post(trackBase+"customers/events", strings.NewReader(goodEvent), "Content-Type", media); w.Code != status {
			t.Errorf("%q: got %d, want %d: %s", media, w.Code, status, w.Body)
		}
	}
}

// When bodies fill the memory that they may take, a further request gets a 503,
// and nothing of it is stored. An address that has used its share takes nothing
// from others.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const share = 10_000
	f.bodies = body.NewIntake(2*share, prometheus.NewRegistry())
	var mine, others room.Holding
	mine.Open(f.bodies.Memory, netip.MustParseAddr("192.0.2.1"), time.Now(), nil)
	others.Open(f.bodies.Memory, netip.MustParseAddr("198.51.100.99"), time.Now(), nil)
	if err := mine.Settle(share - 500); err != nil {
		t.Fatal(err)
	}
	w := f.post(trackBase+"customers/events", strings.NewReader(goodEvent))
	check(t, w, 503, `{"errors":{"code":503,`)
	if got := w.Header().Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: got %q, want 1", got)
	}
	if f.bodies.Memory.Used() != share-500 || f.ingest.cmds != nil {
		t.Error("room was kept, or data was taken in")
	}
	mine.Release()
	if err := others.Settle(share - 500); err != nil {
		t.Fatal(err)
	}
	check(t, f.post(trackBase+"customers/events", strings.NewReader(goodEvent)), 200, "true")
}

// Our own failures are logged in full and answered without detail, never as
// 2xx, and never with an array of errors.
func TestInternalErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ingest.err = errDisk
	for _, path := range []string{"customers/events", "customers", "campaigns/clicks"} {
		w := f.post(trackBase+path, strings.NewReader(goodEvent), "X-Request-Id", "abc")
		check(t, w, 500, `{"errors":{"code":500,"description":"Internal error, request abc."}}`)
	}
	w := f.post(trackBase+"batch", strings.NewReader(`{"commands":[{"name":"customers/events","data":`+goodEvent+`}]}`))
	check(t, w, 500, `{"errors":{"code":500,`)
	if log := f.log.String(); !strings.Contains(log, "disk on fire") || !strings.Contains(log, "request_id=abc") {
		t.Errorf("the log lacks the cause or the request: %s", log)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	get := func(id string) string {
		return f.send(http.MethodGet, trackBase+"system/time", nil, "X-Request-Id", id).Header().Get("X-Request-Id")
	}
	if got := get("caller-1_2.3"); got != "caller-1_2.3" {
		t.Errorf("a sane id became %q", got)
	}
	seen := map[string]bool{}
	for _, insane := range []string{"", "a b", "a\"b", "é", strings.Repeat("a", 65)} {
		got := get(insane)
		if got == insane || got == "" || seen[got] {
			t.Errorf("%q became %q", insane, got)
		}
		seen[got] = true
	}
}

func TestRefusedCallIsNotLookedAt(t *testing.T) {
	t.Parallel()
	f := newFixture(t, trackway.Policy{Name: "track", Paths: []string{"/track/"}, Limit: 2, Window: time.Minute, Per: trackway.PerIP, AllowBelowFloor: true})
	read := readCounter{Reader: strings.NewReader(goodEvent)}
	for range 2 {
		check(t, f.post(trackBase+"customers/events", strings.NewReader(goodEvent), "X-Forwarded-For", "198.51.100.1"), 200, "true")
	}
	w := f.post(trackBase+"customers/events", &read, "X-Forwarded-For", "198.51.100.1", "Authorization", "Token nobody")
	check(t, w, 429, `{"status":429,"error":"rate limit","message":"Too many requests. Limit to max 2 per 60 seconds. Try again in 60 seconds."}`)
	if read.n != 0 || len(f.ingest.cmds) != 2 {
		t.Errorf("%d bytes of a refused body were read, %d commands taken in", read.n, len(f.ingest.cmds))
	}
	if got := w.Header()["X-RateLimit-Limit"]; len(got) != 1 || got[0] != "2" {
		t.Errorf("X-RateLimit-Limit: got %q", got)
	}
	// Another address is not affected; an unknown key, an unknown route and a
	// wrong method cost as much as any call.
	for _, path := range []string{"customers/events", "no/such"} {
		check(t, f.post(trackBase+path, nil, "X-Forwarded-For", "198.51.100.2", "Authorization", "Token nobody"), map[string]int{
			"customers/events": 401, "no/such": 404,
		}[path], "error")
	}
	check(t, f.post(trackBase+"customers/events", nil, "X-Forwarded-For", "198.51.100.2"), 429, "rate limit")
	w = f.send(http.MethodOptions, trackBase+"customers/events", nil, "X-Forwarded-For", "198.51.100.2", "Access-Control-Request-Method", "POST")
	check(t, w, 204, "")
}

type readCounter struct {
	io.Reader

	n int
}

func (r *readCounter) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.n += n
	return n, err
}

// If an untrusted peer sends a forwarded address, the log says so once, with
// the line to add to the configuration.
func TestForwardedFromUntrustedPeer(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, trackBase+"system/time", nil)
		r.RemoteAddr = "203.0.113.9:4711"
		r.Header.Set("X-Forwarded-For", "198.51.100.1")
		f.ServeHTTP(httptest.NewRecorder(), r)
	}
	log := f.log.String()
	if strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, strconv.Quote(`trusted_proxies: ["192.0.2.0/24", "203.0.113.9/32"]`)) {
		t.Errorf("want one warning, with the line that trusts the peer; got %s", log)
	}
}

func TestWrongMethodAndRoute(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := f.send(http.MethodPut, trackBase+"customers/events", nil)
	check(t, w, 405, `{"errors":{"code":405,`)
	if got := w.Header().Get("Allow"); got != "POST, OPTIONS" {
		t.Errorf("Allow: got %q", got)
	}
	for _, path := range []string{"/x", "/track", "/track/v2/projects/", dataBase + "none", "/about", "/api/"} {
		w := f.send(http.MethodGet, path, nil)
		check(t, w, 404, `{"errors":{"code":404,`)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: not JSON: %s", path, w.Body)
		}
	}
	w = f.send(http.MethodPost, "///track//v2/projects/"+projectToken+"//customers///events", strings.NewReader(goodEvent))
	check(t, w, 200, "true")
}

func TestPublicKeyMayNotRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	check(t, f.post(dataBase+"customers/export-one", strings.NewReader(`{"customer_ids":{"cookie":"c"}}`)), 403, `{"success":false,"errors":`)
}

// BenchmarkRequest measures a whole request, except for the network and the
// disk.
func BenchmarkRequest(b *testing.B) {
	f := newFixture(b, trackway.Policy{
		Name: "track", Paths: []string{"/track/"}, Limit: 4_000_000, Window: time.Second, Per: trackway.PerIP,
	})
	f.Server.ingest = discard{}
	r := httptest.NewRequest(http.MethodPost, trackBase+"customers/events", nil)
	r.Header.Set("Authorization", "Token "+publicToken)
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	body := strings.NewReader("")
	r.Body, r.ContentLength = io.NopCloser(body), int64(len(goodEvent))
	w := discardWriter{}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(goodEvent)
		clear(w)
		f.Server.ServeHTTP(w, r)
	}
}

type discard struct{}

func (discard) Accept(*trackway.Project, trackway.Micros, []trackway.Command, []trackway.Result) error {
	return nil
}

type discardWriter http.Header

func (w discardWriter) Header() http.Header         { return http.Header(w) }
func (w discardWriter) Write(b []byte) (int, error) { return len(b), nil }
func (w discardWriter) WriteHeader(int)             {}

// SetReadDeadline implements what a connection has.
func (w discardWriter) SetReadDeadline(time.Time) error { return nil }
