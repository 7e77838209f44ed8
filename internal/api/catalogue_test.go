package api

import (
	"context"
	"encoding/base64"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"trackway"
	"trackway/internal/catalogue"
	"trackway/internal/change"
)

// oneEvent is a log with one event of project 1.
type oneEvent struct{}

func (oneEvent) Synced() uint64      { return 1 }
func (oneEvent) LastErasure() uint64 { return 0 }

func (oneEvent) Changes(uint64, uint64) iter.Seq2[[]change.Change, error] {
	return func(yield func([]change.Change, error) bool) {
		yield([]change.Change{{Number: 1, Project: 1, Event: &trackway.Event{
			Seq: 1, Project: 1, Customer: 1, Type: "purchase", Received: 1795305600e6, Properties: []byte(`{"total_price":12.5}`),
		}}}, nil)
	}
}

// newCatalogue returns a catalogue that has learned an event.
func newCatalogue(t testing.TB) *catalogue.Catalogue {
	t.Helper()
	c := catalogue.New(catalogue.Options{
		Log: oneEvent{}, Path: filepath.Join(t.TempDir(), catalogue.File), Most: 100, Logger: slog.New(slog.DiscardHandler),
	})
	c.Reload([]trackway.Project{{Number: 1}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx); err != nil { // once
		t.Fatal(err)
	}
	return c
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.reader.store = usedStore{}
	get := func(query string, fields ...string) *httptest.ResponseRecorder {
		return f.send(http.MethodGet, "/api/projects/"+projectToken+"/catalogue"+query, nil,
			append([]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))}, fields...)...)
	}
	all := get("")
	check(t, all, 200, `{"project":"demo","since":1795305600,"until":1795305600,"events":1,"looked_at":1,"exact":true,"other_types":0,`+
		`"types":[{"type":"purchase","events":1,"share":1,"events_24h":0,`)
	check(t, get("?type=purchase"), 200, `"name":"total_price"`)
	check(t, get("?type=purchase&type=visit"), 404, "no such type")
	check(t, get("?type="), 400, "Field 'type'")
	check(t, get("?kind=purchase"), 400, "Field 'kind'")
	if w := get("", "If-None-Match", all.Header().Get("ETag")); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("got %d %s, want 304", w.Code, w.Body)
	}
	check(t, f.send(http.MethodGet, "/api/projects/"+projectToken+"/catalogue", nil), 403, "the permission events:get")
}
