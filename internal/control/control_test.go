package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
)

var errDisk = errors.New("the disk is broken")

// fakeStore accepts commands and has a log. It refuses commands of type "bad",
// and reports those of type "again" as duplicates. If failAfter is not
// negative, it fails once it has accepted that many batches.
type fakeStore struct {
	mu        sync.Mutex // guards what follows
	taken     []string   // types of events, names of customers
	batches   int
	failAfter int
	log       []trackway.Event
	changed   chan struct{}
	saved     string
}

func newFake() *fakeStore { return &fakeStore{failAfter: -1, changed: make(chan struct{})} }

func (f *fakeStore) Accept(p *trackway.Project, _ trackway.Micros, cmds []trackway.Command, results []trackway.Result) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failAfter == f.batches {
		return errDisk
	}
	f.batches++
	for i := range cmds {
		switch c := &cmds[i]; {
		case results[i].Err != nil, c.Kind == trackway.Nothing:
		case c.Type == "bad":
			results[i].Err = &trackway.Error{Code: trackway.Invalid, Field: "event_type", Msg: "Bad of " + p.Name + "."}
		case c.Type == "again":
			results[i].Duplicate = true
		default:
			f.taken = append(f.taken, c.Type+c.IDs[0].Value)
		}
	}
	return nil
}

func (f *fakeStore) Snapshot() query.Snapshot    { return &fakeSnapshot{of: f} }
func (*fakeStore) Version(uint32) change.Version { return change.Version{} }

// fakeSnapshot has one customer, and the log.
type fakeSnapshot struct {
	query.Snapshot // what is not asked for

	of *fakeStore
}

func (*fakeSnapshot) Close() error { return nil }

func (*fakeSnapshot) Profiles(_ uint32, yield func(*trackway.Profile) bool) error {
	yield(&trackway.Profile{Customer: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "jane", Hard: true}}})
	return nil
}

func (f *fakeStore) add(types ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, typ := range types {
		seq := uint64(len(f.log) + 1)
		f.log = append(f.log, trackway.Event{
			Seq: seq, Project: 1, Customer: trackway.Customer(1 + seq%2), Type: typ, Time: trackway.Micros(seq), Received: trackway.Micros(seq * 10),
		})
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeStore) Synced() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return uint64(len(f.log))
}

// Follow returns one change at a time.
func (f *fakeStore) Follow(ctx context.Context, after uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		for ; ; after++ {
			f.mu.Lock()
			changed := f.changed
			f.mu.Unlock()
			if f.Synced() <= after {
				select {
				case <-changed:
				case <-ctx.Done():
					return
				}
			}
			f.mu.Lock()
			e := f.log[after]
			f.mu.Unlock()
			if e.Type == "broken" {
				yield(nil, errDisk)
				return
			}
			if !yield([]change.Change{{Number: e.Seq, Event: &e}}, nil) {
				return
			}
		}
	}
}

func (s *fakeSnapshot) Log(r query.LogRange, yield func(*trackway.Event) bool) error {
	for seq := r.Last; r.NewestFirst && seq > 0; seq-- {
		if !yield(&s.of.log[seq-1]) {
			break
		}
	}
	return nil
}

func (*fakeStore) Current(_ uint32, c trackway.Customer) (trackway.Customer, []trackway.Identifier, error) {
	return c, []trackway.Identifier{{Name: "registered", Value: fmt.Sprint("r", c), Hard: true}}, nil
}

func (f *fakeStore) save(_ context.Context, dir string, keep int, held bool) (Backup, error) {
	if strings.Contains(dir, "full") {
		return Backup{}, errDisk
	}
	f.saved = strings.TrimSuffix(fmt.Sprint(dir, " ", keep, " ", held), " false")
	return Backup{Path: dir + "/1", Seq: 7, Bytes: 8}, nil
}

// flush fails the second time.
func (f *fakeStore) flush() error {
	if f.saved != "" {
		return errDisk
	}
	f.saved = "flushed"
	return nil
}

// serve serves a fake store, in two projects or one.
func serve(t *testing.T, f *fakeStore, projects int) *httptest.Server {
	t.Helper()
	return serveWith(t, f, projects, new(fakeDestinations))
}

func serveWith(t *testing.T, f *fakeStore, projects int, d *fakeDestinations) *httptest.Server {
	t.Helper()
	all := []trackway.Project{
		{Number: 1, Name: "shop", Token: "12345678-1234-1234-1234-123456789abc", Hard: []string{"registered"}, Soft: []string{"cookie"}, User: "registered", Device: "cookie"},
		{Number: 2, Name: "app", Token: "22345678-1234-1234-1234-123456789abc", Hard: []string{"registered"}},
	}
	s := httptest.NewServer(Handler(Config{
		Ingest: f, Store: f, Name: "n", Log: func(uint32) Log { return f }, Save: f.save, Flush: f.flush, Logger: slog.New(slog.DiscardHandler),
		Projects:     func() ([]trackway.Project, error) { return all[:projects], nil },
		Destinations: d, Verify: d.verify, Suggest: d.suggest, Mirrors: d.mirrors,
	}))
	t.Cleanup(s.Close)
	return s
}

// do sends a request and returns its answer, with the body read. err is the
// error with which reading the body ended.
func do(t *testing.T, s *httptest.Server, method, target string, body io.Reader) (status int, answer string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), err
}

func TestStore(t *testing.T) {
	t.Parallel()
	status, answer, err := do(t, serve(t, newFake(), 1), http.MethodGet, "/store", nil)
	if want := `{"name":"n"}` + "\n"; status != 200 || answer != want || err != nil {
		t.Errorf("got %d %s (%v), want %s", status, answer, err, want)
	}
}

func TestProject(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		projects int
		query    string
		want     string // part of the error; empty: the project is found
	}{
		"the only one":          {1, "", ""},
		"one of two":            {2, "project=app", ""},
		"by its token":          {2, "project=22345678-1234-1234-1234-123456789ABC", ""},
		"none of two":           {2, "", "several projects: name one of shop, app"},
		"unknown":               {2, "project=x%22", `no project \"x\\\"\", only shop, app`},
		"unknown, of one":       {1, "project=app", `no project \"app\", only shop`},
		"part of a name":        {2, "project=sho", "no project"},
		"the name of neither\n": {2, "project=%0A", "no project"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, answer, err := do(t, serve(t, newFake(), test.projects), http.MethodGet, "/export?customers=true&format=ndjson&"+test.query, nil)
			if want := map[bool]int{true: 200, false: 400}[test.want == ""]; status != want || err != nil || !strings.Contains(answer, test.want) {
				t.Errorf("got %d %s (%v), want %q", status, answer, err, test.want)
			}
		})
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(), 1)
	const jane = `{"name":"customers","data":{"customer_ids":{"registered":"jane"}}}` + "\n"
	if status, answer, err := do(t, s, http.MethodGet, "/export?customers=true&format=ndjson", nil); status != 200 || answer != jane || err != nil {
		t.Errorf("got %d %s %v", status, answer, err)
	}
	for _, bad := range []string{"format=ndjson", "events=true&format=x", "events=true&format=ndjson&since=yesterday", "events=true&format=ndjson&until=1.5"} {
		if status, answer, _ := do(t, s, http.MethodGet, "/export?"+bad, nil); status != 400 || !strings.Contains(answer, `"error":`) {
			t.Errorf("%s: got %d %s, want 400", bad, status, answer)
		}
	}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := serve(t, f, 1)
	if status, answer, err := do(t, s, http.MethodPost, "/traffic/flush", nil); status != http.StatusOK || err != nil || f.saved != "flushed" {
		t.Errorf("got %d %s, %v: %q", status, answer, err, f.saved)
	}
	if status, answer, err := do(t, s, http.MethodPost, "/traffic/flush", nil); status != 500 || err != nil || !strings.Contains(answer, "disk is broken") {
		t.Errorf("got %d %s, %v, want why", status, answer, err)
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	f := newFake()
	s := serve(t, f, 2)
	status, answer, err := do(t, s, http.MethodPost, "/backup?keep=3&dir="+url.QueryEscape("/var/my backups"), nil)
	var b Backup
	if err := errors.Join(err, json.Unmarshal([]byte(answer), &b)); err != nil || status != 200 || b.Path != "/var/my backups/1" || b.Seq != 7 {
		t.Errorf("got %d %s %v", status, answer, err)
	}
	if f.saved != "/var/my backups 3" {
		t.Errorf("got %q saved", f.saved)
	}
	for query, want := range map[string]int{
		"keep=3": 400, "keep=3&dir=relative": 400, "dir=/x": 400, "dir=/x&keep=0": 400, "dir=/x&keep=many": 400, "dir=/full&keep=1": 500,
	} {
		if status, answer, _ := do(t, s, http.MethodPost, "/backup?"+query, nil); status != want || !strings.Contains(answer, `"error":`) {
			t.Errorf("%s: got %d %s, want %d", query, status, answer, want)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		query string
		want  string // types of the events, in order
	}{
		"from now on":        {"", "d e f"},
		"the last two":       {"last=2", "b c d e f"},
		"more than there is": {"last=99", "a b c d e f"},
		"since":              {"since=20", "b c d e f"},
		"since long ago":     {"since=1&last=1", "a b c d e f"},
		"since later":        {"since=99", "d e f"},
		"of types":           {"last=9&type=a&type=e", "a e"},
		"the last of a type": {"last=1&type=a&type=e", "a e"},
		"of a customer":      {"last=9&customer=registered%3Dr2", "a c e"},
		"of nobody":          {"last=9&customer=registered%3Dnobody", ""},
		"of another":         {"last=9&project=app", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFake()
			f.add("a", "b", "c")
			s := serve(t, f, 1+strings.Count(test.query, "project=app"))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/tail?"+test.query, nil)
			if err != nil {
				t.Fatal(err)
			}
			res, err := s.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			f.add("d", "e")
			f.add("f", "broken") // which ends it
			text, err := io.ReadAll(res.Body)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("got %v at the end, want the answer to be cut off", err)
			}
			var got []string
			for l := range strings.Lines(string(text)) {
				var row struct {
					Data struct {
						Type string `json:"event_type"`
					}
				}
				if err := json.Unmarshal([]byte(l), &row); err != nil {
					t.Fatal(err)
				}
				got = append(got, row.Data.Type)
			}
			if strings.Join(got, " ") != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTailRefuses(t *testing.T) {
	t.Parallel()
	s := serve(t, newFake(), 1)
	for _, bad := range []string{"customer=jane", "customer=email%3Djane", "customer=registered%3D", "since=x"} {
		if status, answer, _ := do(t, s, http.MethodGet, "/tail?"+bad, nil); status != 400 || !strings.Contains(answer, `"error":`) {
			t.Errorf("%s: got %d %s, want 400", bad, status, answer)
		}
	}
}

// When the server's context ends, tails end in an orderly way.
func TestTailEnds(t *testing.T) {
	t.Parallel()
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	w := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		handler := Handler(Config{
			Ingest: f, Store: f, Name: "n", Log: func(uint32) Log { return f }, Save: f.save, Logger: slog.New(slog.DiscardHandler),
			Projects: func() ([]trackway.Project, error) { return make([]trackway.Project, 1), nil },
		})
		handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/tail", nil))
	}()
	cancel()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("still watching")
	}
}
