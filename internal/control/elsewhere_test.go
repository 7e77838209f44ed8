package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"trackway"
)

// TestElsewhere: calls about a project that other servers hold go there, under
// the token of the project. The name of a store is that of this server. Reads
// of what is here wait for what others have acknowledged.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	f, waited, lacks := newFake(), 0, error(nil)
	all := []trackway.Project{{Number: 1, Name: "here", Token: "a", Hard: []string{"registered"}}, {Number: 2, Name: "there", Token: "b"}}
	s := httptest.NewServer(Handler(Config{
		Ingest: f, Store: f, Name: "n", Log: func(uint32) Log { return f }, Save: f.save, Flush: f.flush, Logger: slog.New(slog.DiscardHandler),
		Projects: func() ([]trackway.Project, error) { return all, nil },
		Elsewhere: func(_ *http.Request, project uint32) http.Handler {
			if project == 1 {
				return nil
			}
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, "there ", r.URL.RequestURI()) })
		},
		Latest: func(context.Context, uint32) error { waited++; return lacks },
	}))
	defer s.Close()
	const row = `{"name":"customers/events","data":{"customer_ids":{"registered":"r1"},"event_type":"e"}}` + "\n"
	for _, test := range []struct {
		method, target, body string
		status               int
		want                 string
		waited               int
	}{
		{http.MethodGet, "/export?customers=true&format=ndjson&project=here", "", 200, `"jane"`, 1},
		{http.MethodGet, "/export?customers=true&project=there", "", 200, "there /export?customers=true&project=b", 1},
		{http.MethodGet, "/bots?project=there", "", 200, "there /bots", 1},
		{http.MethodPost, "/import?project=here&store=n", row, 200, Stored, 1},
		{http.MethodPost, "/import?project=there&store=n&from=segment", row, 200, "there /import?from=segment&project=b", 1},
		{http.MethodPost, "/import?project=there&store=other", row, 400, "another store", 1},
		{http.MethodGet, "/export?customers=true&format=ndjson", "", 400, "several projects", 1},
		{http.MethodGet, "/store?project=there", "", 200, `"n"`, 1},
	} {
		status, answer, err := do(t, s, test.method, test.target, strings.NewReader(test.body))
		if status != test.status || !strings.Contains(answer, test.want) || err != nil || waited != test.waited {
			t.Errorf("%s: got %d %s, %v, after %d waits; want %+v", test.target, status, answer, err, waited, test)
		}
	}
	for _, lacks = range []error{nil, errors.New("no server leads")} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/export?customers=true&format=ndjson&project=here", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close() // only the fields are wanted
		if got := res.Header.Get(UnsureField) != ""; got != (lacks != nil) || res.StatusCode != http.StatusOK {
			t.Errorf("%v: got %d, %v", lacks, res.StatusCode, res.Header)
		}
	}
	for target, want := range map[string]bool{"GET /export": true, "POST /import": true, "GET /contracts": true, "POST /backup": false, "GET /import": false, "POST /cluster/init": false} {
		method, path, _ := strings.Cut(target, " ")
		if got := OfProject(httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)); got != want {
			t.Errorf("%s: got %v", target, got)
		}
	}
}
