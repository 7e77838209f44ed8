package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"

	"trackway"
	"trackway/internal/query"
)

// erasedStore is a store with erasures and nothing else.
type erasedStore struct{}

func (erasedStore) Erase(uint32, trackway.Customer, []string, trackway.Micros) (query.Erasure, error) {
	return query.Erasure{}, nil
}

func (erasedStore) Erasures(uint32) ([]query.Erasure, error) {
	return []query.Erasure{{ID: 13, Asked: 1_790_000_000_500_000, WaitingFor: []string{"lake", "warehouse"}, Undeletable: []string{"bus"}}, {ID: 12, Asked: 1_790_000_000_500_000}, {ID: 7, Asked: 1_780_000_000_000_000, Done: 1_780_000_011_999_999}}, nil
}

func TestErasures(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.eraser = erasedStore{}
	get := func(fields ...string) *httptest.ResponseRecorder {
		return f.send(http.MethodGet, "/api/projects/"+projectToken+"/erasures", nil, fields...)
	}
	private := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))}
	const (
		thirteen = `{"id":"13","state":"scheduled","asked":"2026-09-21T14:13:20Z","done":null,"waiting_for":["lake","warehouse"],"cannot_delete":["bus"]}`
		twelve   = `{"id":"12","state":"scheduled","asked":"2026-09-21T14:13:20Z","done":null}`
		seven    = `{"id":"7","state":"done","asked":"2026-05-28T20:26:40Z","done":"2026-05-28T20:26:51Z"}`
	)
	all := get(private...)
	check(t, all, 200, `{"erasures":[`+thirteen+","+twelve+","+seven+`]}`)
	if w := get(append(private, "If-None-Match", all.Header().Get("ETag"))...); w.Code != 304 {
		t.Errorf("got %d, want 304", w.Code)
	}
	check(t, get(), 403, "permission gdpr")
}
