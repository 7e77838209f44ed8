package saving

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"trackway"
	"trackway/internal/datadir"
	"trackway/internal/partition"
	"trackway/internal/partition/stores"
	"trackway/internal/store"
	"trackway/internal/store/backup"
)

var at = time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)

func open(t *testing.T, name string) *store.Store {
	t.Helper()
	one, err := store.Open(filepath.Join(t.TempDir(), "store"), store.Options{
		Cache: 1 << 20, Known: 1 << 20, MemTable: 1 << 20, Name: name, Fatal: func(err error) { panic(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = one.Close() })
	return one
}

// holder is a server that holds two partitions.
type holder struct {
	*Maker

	at   string
	sent atomic.Int64
	most int64 // bytes, after which it is killed; 0: it is not

	transport http.Transport
}

func newHolder(t *testing.T, name string, events int) *holder {
	t.Helper()
	set := stores.Of(open(t, "first of "+name), open(t, "second of "+name))
	p := []trackway.Project{{Name: "a", Token: "a", Hard: []string{"registered"}}, {Name: "b", Token: "b", Hard: []string{"registered"}}}
	if err := set.Register(p); err != nil {
		t.Fatal(err)
	}
	h := &holder{Maker: &Maker{Stores: set, DataDir: t.TempDir(), Server: name}}
	h.fill(t, events)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Handler(func(int) bool { return true }).ServeHTTP(&counted{w, h}, r)
	}))
	t.Cleanup(s.Close)
	h.at = strings.TrimPrefix(s.URL, "http://")
	return h
}

// fill stores events in the second partition.
func (h *holder) fill(t *testing.T, events int) {
	t.Helper()
	for n := range events {
		cmds := []trackway.Command{{
			Kind: trackway.AddEvent, Project: partition.Global(1, 1), IDs: []trackway.Identifier{{Name: "registered", Value: strconv.Itoa(n), Hard: true}},
			Type: "e", Time: trackway.Micros(n + 1), Received: trackway.Micros(n + 1),
		}}
		results := make([]trackway.Result, 1)
		if err := h.Stores.Apply(cmds, results); err != nil || results[0].Err != nil {
			t.Fatal(err, results[0].Err)
		}
	}
}

// RoundTrip implements [http.RoundTripper].
func (h *holder) RoundTrip(r *http.Request) (*http.Response, error) {
	r.URL.Host = h.at
	return h.transport.RoundTrip(r)
}

type counted struct {
	http.ResponseWriter

	of *holder
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counted) Write(b []byte) (int, error) {
	if n := c.of.sent.Add(int64(len(b))); c.of.most > 0 && n > c.of.most {
		panic(http.ErrAbortHandler)
	}
	return c.ResponseWriter.Write(b)
}

// asking returns a server that holds the first partition only.
func asking(t *testing.T, holders ...http.RoundTripper) *Maker {
	t.Helper()
	return &Maker{
		Stores: stores.Of(open(t, "mine"), nil), DataDir: t.TempDir(), Server: "mine",
		Holders: func(int) []http.RoundTripper { return holders },
		Latest:  func(context.Context, int) error { return nil },
	}
}

// TestFetched: a backup has what other servers hold. The next one fetches only
// what is new. It is restored as a whole.
func TestFetched(t *testing.T) {
	t.Parallel()
	h := newHolder(t, "theirs", 500)
	m, dir := asking(t, h), filepath.Join(t.TempDir(), "backups")
	var last int64
	for n := range 3 {
		h.fill(t, 3000*(n%2)) // a store flushes what it has before a backup, or not
		before := h.sent.Load()
		made, err := m.Make(t.Context(), dir, at, 2, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(made.Unsure) > 0 || made.Parts[1].Seq != h.Stores.All()[1].Synced() || made.Parts[1].Generations != min(n+1, 2) {
			t.Errorf("%d: got %+v, want %d changes", n, made, h.Stores.All()[1].Synced())
		}
		if a, b := filepath.Base(made.Parts[0].Path), filepath.Base(made.Parts[1].Path); a != b {
			t.Errorf("the parts are called %s and %s", a, b)
		}
		if last = h.sent.Load() - before; n == 2 && made.Parts[1].Kept == 0 && made.Parts[1].Files > 4 {
			t.Errorf("all tables were fetched again: %+v, %d bytes", made.Parts[1], last)
		}
	}
	// the same server is asked again, although another one leads
	other := newHolder(t, "another", 10)
	m.Holders = func(int) []http.RoundTripper { return []http.RoundTripper{other, h} }
	if made, err := m.Make(t.Context(), dir, at, 2, false); err != nil || made.Parts[1].Seq != h.Stores.All()[1].Synced() || other.sent.Load() > 100 {
		t.Errorf("got %+v, %v; another server has sent %d bytes", made, err, other.sent.Load())
	}
	to := filepath.Join(t.TempDir(), "data")
	r, err := datadir.Restore(t.Context(), dir, to)
	if err != nil || len(r.Parts) != 2 || r.Parts[1].Seq != h.Stores.All()[1].Synced() {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestSameStore: a directory of backups stays that of a server that joins a
// cluster, or that stands alone again, after a restore.
func TestSameStore(t *testing.T) {
	t.Parallel()
	h, dir := newHolder(t, "theirs", 20), filepath.Join(t.TempDir(), "backups")
	if err := datadir.ClaimBackups(dir, 2); err != nil {
		t.Fatal(err)
	}
	for part, s := range h.Stores.All() { // as they were called
		if _, err := backup.Make(t.Context(), s.Source(), datadir.BackupOf(dir, part, 2), at, 9); err != nil {
			t.Fatal(err)
		}
	}
	h.Latest = func(context.Context, int) error { return nil }
	first, second := h.Stores.All()[0], h.Stores.All()[1]
	restored := stores.Of(first, open(t, "second of another server"))
	for name, m := range map[string]*Maker{
		"a server alone":      {Stores: h.Stores},
		"a member":            {Stores: h.Stores, Holders: func(int) []http.RoundTripper { return nil }},
		"one that fetches it": {Stores: stores.Of(first, nil), Holders: func(int) []http.RoundTripper { return []http.RoundTripper{h} }},
	} {
		m.DataDir = t.TempDir()
		to := filepath.Join(t.TempDir(), "backups")
		if name != "one that fetches it" {
			to = dir
		}
		if _, err := m.Make(t.Context(), to, at, 9, false); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "one that fetches it" {
			m.Stores, m.Holders = restored, nil
			if _, err := m.Make(t.Context(), to, at, 9, false); err != nil {
				t.Errorf("a server with what was restored: %v", err)
			}
		}
	}
	m := &Maker{Stores: stores.Of(second, first), DataDir: t.TempDir()}
	if _, err := m.Make(t.Context(), dir, at, 9, false); !errors.Is(err, backup.ErrForeign) {
		t.Errorf("other stores: got %v", err)
	}
}

// TestCutOff: if a server does not send all of a copy, another one does.
// Otherwise the backup fails and leaves nothing, unless only the parts are
// wanted that are here.
func TestCutOff(t *testing.T) {
	t.Parallel()
	broken, h := newHolder(t, "broken", 500), newHolder(t, "theirs", 20)
	broken.most = 3000
	root := t.TempDir()
	made, err := asking(t, broken, h).Make(t.Context(), filepath.Join(root, "a"), at, 2, false)
	if err != nil || made.Parts[1].Seq != h.Stores.All()[1].Synced() {
		t.Errorf("got %+v, %v", made, err)
	}
	m, dir := asking(t, broken), filepath.Join(root, "b")
	if made, err := m.Make(t.Context(), dir, at, 2, false); err == nil || !strings.Contains(err.Error(), "none of them has sent it") || !strings.Contains(err.Error(), "p01") {
		t.Errorf("got %+v, %v", made, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "p0*", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("there is %q, %v", left, err)
	}
	m.Latest = func(context.Context, int) error { return errors.New("nobody leads") }
	made, err = m.Make(t.Context(), dir, at, 2, true)
	if err != nil || made.Parts[0].Path == "" || made.Parts[1].Path != "" || len(made.Unsure) != 1 {
		t.Errorf("got %+v, %v", made, err)
	}
	if _, err := datadir.Restore(t.Context(), dir, filepath.Join(root, "data")); err == nil {
		t.Error("a part of the data was restored as if it was all")
	}
	// from two servers, put together
	if _, err := h.Make(t.Context(), filepath.Join(root, "c"), at.Add(time.Hour), 2, true); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "c", "p01"), filepath.Join(dir, "p01")); err != nil {
		t.Fatal(err)
	}
	r, err := datadir.Restore(t.Context(), dir, filepath.Join(root, "data"))
	if err != nil || r.Parts[1].Seq != h.Stores.All()[1].Synced() {
		t.Errorf("got %+v, %v", r, err)
	}
}

// TestRefused: a request that no member sends is refused, and one that comes to
// a server which does not hold the partition.
func TestRefused(t *testing.T) {
	t.Parallel()
	h := newHolder(t, "theirs", 0)
	serves := h.Handler(func(part int) bool { return part == 0 })
	for body, want := range map[string]int{`{"partition":2}`: 400, `{"partition":-1}`: 400, "x": 400, `{"partition":1}`: 503, `{"partition":0}`: 200, `{"partition":0,"again":true}`: 409} {
		w := httptest.NewRecorder()
		serves.ServeHTTP(deadlines{w}, httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, strings.NewReader(body)))
		if w.Code != want {
			t.Errorf("%s: got %d %s, want %d", body, w.Code, w.Body, want)
		}
	}
}

type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }
