package api

import (
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
)

// usedStore is a store with usage and nothing else.
type usedStore struct{}

func (usedStore) Snapshot() query.Snapshot      { return usedSnapshot{} }
func (usedStore) Version(uint32) change.Version { return change.Version{} }

type usedSnapshot struct{ noSnapshot }

func (usedSnapshot) Usage(_ uint32, yield func(query.Day, query.Usage) bool) error {
	const october31 = 20757 // 2026
	for i, u := range []query.Usage{{Stored: 1, Created: 3}, {Stored: 2, Duplicate: 3, Refused: 4, Absorbed: 1}, {Stored: 5}} {
		if !yield(query.DayOf(trackway.Micros(october31+i)*86400*1e6), u) {
			break
		}
	}
	return nil
}

func TestProjectUsage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.reader.store = usedStore{}
	f.front.log = slog.New(slog.DiscardHandler)
	get := func(query string, fields ...string) *httptest.ResponseRecorder {
		return f.send(http.MethodGet, "/api/projects/"+projectToken+"/usage"+query, nil,
			append([]string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))}, fields...)...)
	}
	const (
		day31 = `{"day":"2026-10-31","processed":1,"stored":1,"duplicate":0,"refused":0}`
		day1  = `{"day":"2026-11-01","processed":9,"stored":2,"duplicate":3,"refused":4}`
		day2  = `{"day":"2026-11-02","processed":5,"stored":5,"duplicate":0,"refused":0}`
	)
	all := get("")
	check(t, all, 200, `"months":[{"month":"2026-10","processed":1,"stored":1,"duplicate":0,"refused":0},`+
		`{"month":"2026-11","processed":14,"stored":7,"duplicate":3,"refused":4}],"days":[`+day31+","+day1+","+day2+"]")
	check(t, get("?since=2026-11-01&until=2026-11-01"), 200, `"days":[`+day1+"]")
	check(t, get("?until=2026-10-01"), 200, `"months":[],"days":[]`)
	check(t, get("?since=yesterday"), 400, "Field 'since'")
	if w := get("", "If-None-Match", all.Header().Get("ETag")); w.Code != 304 || w.Body.Len() != 0 {
		t.Errorf("got %d %s, want 304", w.Code, w.Body)
	}
	w := f.send(http.MethodGet, "/api/projects/"+projectToken+"/usage", nil)
	if w.Code != 403 || !strings.Contains(w.Body.String(), "the permission admin") {
		t.Errorf("with a public key: got %d %s", w.Code, w.Body)
	}
}
