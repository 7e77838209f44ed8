package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"testing"

	"trackway"
	promise "trackway/internal/contract"
	"trackway/internal/contract/book"
)

// newContracts returns a book with a contract that an event broke.
func newContracts(t testing.TB) *book.Book {
	t.Helper()
	b := book.New()
	b.Reload([]trackway.Project{{Number: 1, Name: "demo", Token: projectToken}}, map[string][]promise.Contract{projectToken: {
		{Type: "purchase", Action: promise.Refuse, Schema: []byte(`{"properties":{"total_price":{"type":"number"}}}`)},
		{Type: "visit", Action: promise.Report, Schema: []byte(`{}`)},
	}})
	return b
}

func TestContracts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.reader.store = usedStore{}
	get := func(query string) *httptest.ResponseRecorder {
		return f.send(http.MethodGet, "/api/projects/"+projectToken+"/contracts"+query, nil,
			"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret)))
	}
	check(t, get(""), 200, `{"project":"demo","contracts":[{"type":"purchase","action":"refuse","since":`)
	check(t, get("?type=visit"), 200, `"checked_24h":0,"broken_24h":0,"share":0,"broken":[],"schema":{}}]}`)
	check(t, get("?type=purchase&type=other"), 404, "There is no contract for this type of events.")
	check(t, get("?type="), 400, "Field 'type'")
}
