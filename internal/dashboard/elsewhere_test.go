package dashboard

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"trackway"
	"trackway/internal/partition"
	"trackway/internal/people"
	"trackway/internal/query"
)

// TestElsewhere: if another server holds a project, answers about it are that
// server's. It believes who asks, and what that user may do there.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.apply(t, "buy", "jane", "", "jane@example.com")
	f.Holds = func(uint32) bool { return false }
	ask := func(at string, as people.Role) (*httptest.ResponseRecorder, error) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, at, http.NoBody)
		if as != people.Nobody {
			r = r.WithContext(people.As(r.Context(), "ann", token, as))
		} else {
			r.AddCookie(&http.Cookie{Name: cookieName, Value: f.cookie})
		}
		w := httptest.NewRecorder()
		return w, f.Handler("GET "+r.URL.Path)(w, r, netip.Addr{}, func() {})
	}
	for _, at := range []string{"customers", "customer", "events", "export", "catalogue", "bots", "contracts", "contract"} {
		path := "/grid/" + at + "?project=" + token
		if strings.Contains("customer events export", at) {
			path += "&customer=1"
		}
		_, err := ask(path, people.Nobody)
		away, ok := errors.AsType[*people.ElsewhereError](err)
		if !ok || away.Project != 1 || away.Token != token || away.Role != people.Admin {
			t.Errorf("%s: got %v, %+v", at, err, away)
		}
	}
	for _, at := range []string{"start", "overview"} {
		if w, err := ask("/grid/"+at, people.Nobody); err != nil || w.Code != http.StatusOK {
			t.Errorf("%s: got %d, %v", at, w.Code, err)
		}
	}
	f.Holds = nil
	w, err := ask("/grid/customers?project="+token, people.Analyst)
	if err != nil {
		t.Fatal(err)
	}
	wantOK(t, w, `"jane"`)
	w, err = ask("/grid/customers?project="+token, people.Viewer)
	if err != nil {
		t.Fatal(err)
	}
	if wantOK(t, w, `"rows":[{`); w.Body.String() == "" || strings.Contains(w.Body.String(), "jane") {
		t.Errorf("a viewer sees %s", w.Body)
	}
	if _, err := ask("/grid/export?customer=1&project="+token, people.Viewer); err == nil {
		t.Error("a viewer exports a customer")
	}
	if _, err := ask("/grid/limits", people.Admin); err == nil {
		t.Error("a user of one project sees what is about the server")
	}
}

// lacking is a store that lacks projects whose servers do not answer.
type lacking struct {
	query.Store

	asked int
}

func (p *lacking) Snapshot() query.Snapshot { return &lackingSnapshot{p.Store.Snapshot(), p} }

type lackingSnapshot struct {
	query.Snapshot

	of *lacking
}

func (s *lackingSnapshot) Counts(project uint32, r query.CountRange, yield func(query.Count) bool) error {
	if partition.Of(project) > 0 {
		s.of.asked++
		return fmt.Errorf("partition p01: %w", &trackway.Error{Code: trackway.Overloaded, Msg: "nobody answers"})
	}
	return s.Snapshot.Counts(project, r, yield)
}

// TestApart: pages about all projects show those whose data can be had, and say
// which are missing. They do not wait for each project of the same servers.
func TestApart(t *testing.T) {
	t.Parallel()
	f := newFixture(t).signedIn()
	f.apply(t, "buy", "jane", "", "jane@example.com")
	all := slices.Clone(f.facts.Load().Projects)
	for i, name := range []string{"there", "there too"} {
		all = append(all, trackway.Project{Name: name, Token: fmt.Sprint(name, " token"), Number: partition.Global(1, uint32(i)+1)})
	}
	f.Reload(Facts{Password: f.facts.Load().Password, Projects: all})
	store := &lacking{Store: f.Store}
	f.Store = store
	wantOK(t, f.send(t, http.MethodGet, "/grid/overview", ""), `"customers":1`, `"type":"buy"`, `"missing":["there token","there too token"]`)
	if store.asked != 1 {
		t.Errorf("the servers were asked %d times", store.asked)
	}
	wantOK(t, f.send(t, http.MethodGet, "/grid/start", ""), `"types":{`, `["buy"]`, `"there token":[]`)
	if store.asked != 2 {
		t.Errorf("the servers were asked %d times", store.asked)
	}
}
