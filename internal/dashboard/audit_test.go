package dashboard

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/audit"
	"trackway/internal/people"
	"trackway/internal/people/openid"
	"trackway/internal/query"
)

// recorded says what each route records that changes something or lets data
// out, or why it does not. A request of the user admin is tried.
var recorded = map[string]struct {
	path, body string   // as in matrix, if they are not those there
	entries    []string // actor, action, project, target, outcome, detail; the oldest first
	because    string   // it records nothing
}{
	"POST /grid/session":   {entries: []string{"victim|session.sign-in|||allowed|"}},
	"DELETE /grid/session": {entries: []string{"admin|session.sign-out|||done|"}},
	"POST /grid/anonymize": {entries: []string{"admin|data.anonymize|demo|customer 1|allowed|"}},
	"POST /grid/record":    {entries: []string{"admin|record.switch|||allowed|on"}},
	"DELETE /grid/sessions": {
		path: "/grid/sessions?user=admin", entries: []string{"admin|session.end||admin|done|"},
	},
	"POST /grid/users":   {entries: []string{"admin|user.add||somebody|allowed|viewer"}},
	"PUT /grid/users":    {entries: []string{"admin|user.change||victim|allowed|admin"}},
	"DELETE /grid/users": {entries: []string{"admin|user.remove||victim|allowed|"}},
	"GET /grid/export":   {entries: []string{"admin|data.export|demo|customer 1|allowed|"}},

	"GET /grid/session":       {because: "it says how one can sign in"},
	"GET /grid/oidc":          {because: "nobody is signed in yet"},
	"GET /grid/oidc/callback": {because: "it takes a provider: TestProviderRecorded"},
	"GET /grid/start":         {because: "it is a look at the pages"},
	"GET /grid/overview":      {because: "it is a look at the pages"},
	"GET /grid/live":          {because: "it is a look at the pages"},
	"GET /grid/customers":     {because: "it is a look at the pages"},
	"GET /grid/customer":      {because: "it is a look at the pages"},
	"GET /grid/catalogue":     {because: "it is a look at the pages"},
	"GET /grid/bots":          {because: "it is a look at the pages"},
	"GET /grid/contracts":     {because: "it is a look at the pages"},
	"GET /grid/contract":      {because: "it is a look at the pages"},
	"POST /grid/contract":     {because: "it changes nothing, and its examples are masked"},
	"GET /grid/events":        {because: "it is a look at the pages"},
	"GET /grid/limits":        {because: "it is a look at the pages"},
	"GET /grid/record":        {because: "it is a look at the pages"},
	"GET /grid/simulate":      {because: "it tries a limit, and changes nothing"},
	"GET /grid/suggest":       {because: "it tries limits, and changes nothing"},
	"GET /grid/alarms":        {because: "it is a look at the pages"},
	"GET /grid/destinations":  {because: "it is a look at the pages"},
	"GET /grid/sessions":      {because: "it is a look at the pages"},
	"GET /grid/users":         {because: "it is a look at the pages"},
	"GET /grid/audit":         {because: "it is a look at the pages"},
}

// audited is a fixture of [peopled] with an audit log.
func audited(t *testing.T) *fixture {
	t.Helper()
	f := peopled(t).with(openid.New(openid.Settings{Issuer: "http://127.0.0.1:1"}, "http://127.0.0.1:2"))
	f.Audit = audit.New(t.TempDir(), slog.New(slog.DiscardHandler))
	return f
}

// entries returns what was recorded, the oldest first.
func (f *fixture) entries(t *testing.T) (list []string) {
	t.Helper()
	r, err := f.Audit.Read(new(audit.Query))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range r.Entries {
		if e.Via != audit.Page || e.Address != "203.0.113.9" {
			t.Errorf("got %+v", e)
		}
		list = append(list, fmt.Sprintf("%s|%s|%s|%s|%s|%s", e.Actor, e.Action, e.Project, e.Target, e.Outcome, e.Detail))
	}
	slices.Reverse(list)
	return list
}

// TestRecorded tries each route. A route without a row fails.
func TestRecorded(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(slices.Sorted(maps.Keys(newFixture(t).routes)), slices.Sorted(maps.Keys(recorded))); diff != "" {
		t.Fatal("(-routes +recorded):\n" + diff)
	}
	for route, row := range recorded {
		t.Run(strings.ReplaceAll(route, "/", " "), func(t *testing.T) {
			t.Parallel()
			if (row.because == "") == (row.entries == nil) {
				t.Fatal("either entries, or why there are none")
			}
			f := audited(t)
			method, path, _ := strings.Cut(route, " ")
			for _, other := range []string{matrix[route].path, row.path} {
				if other != "" {
					path = other
				}
			}
			body := matrix[route].body
			if outcome, w := f.as(t, "admin", method, path, body); outcome != "yes" && outcome != "names" {
				t.Fatalf("got %s: %s", outcome, w.Body)
			}
			got := f.entries(t)
			if diff := cmp.Diff(got, row.entries); diff != "" {
				t.Error("(-got +want):\n" + diff)
			}
			text := strings.Join(got, "\n")
			for _, personal := range append(naming, goodPassword, "$argon2id") {
				if strings.Contains(text, personal) {
					t.Errorf("an entry has %s", personal)
				}
			}
		})
	}
}

// TestUnrecorded checks that nothing that needs an entry happens without one.
func TestUnrecorded(t *testing.T) {
	t.Parallel()
	for route, row := range recorded {
		if row.entries == nil || strings.HasSuffix(row.entries[0], "|done|") { // that takes access away
			continue
		}
		t.Run(strings.ReplaceAll(route, "/", " "), func(t *testing.T) {
			t.Parallel()
			f := audited(t)
			broken := filepath.Join(t.TempDir(), "absent")
			f.Audit = audit.New(broken, slog.New(slog.DiscardHandler))
			method, path, _ := strings.Cut(route, " ")
			if matrix[route].path != "" {
				path = matrix[route].path
			}
			outcome, w := f.as(t, "admin", method, path, matrix[route].body)
			if !strings.HasPrefix(outcome, "The audit log cannot be written, so nothing was done.") || w.Body.Len() > 0 || w.Header().Get("Set-Cookie") != "" {
				t.Errorf("got %s: %s", outcome, w.Body)
			}
			users := f.facts.Load().Users
			if len(f.eraser.erased) > 0 || len(users) != len(actors) || users.Find("victim").All != people.Viewer {
				t.Error("it was done")
			}
		})
	}
}

// TestPasswordRecorded: a new password is recorded before the sign-in, a wrong
// one is gathered, and a session that somebody else ends is theirs.
func TestPasswordRecorded(t *testing.T) {
	t.Parallel()
	f := audited(t)
	post := func(body string) { f.send(t, http.MethodPost, "/grid/session", body) }
	post(`{"name":"victim","password":"` + goodPassword + `","new_password":"` + goodPassword + `!"}`)
	post(`{"name":"victim","password":"wrong password"}`)
	post(`{"name":"a typed password","password":"wrong password"}`)
	post(`{"password":"wrong password"}`)
	post(`{"password":"` + password + `"}`)
	post(`{"name":"victim","password":"wrong password"}`)
	f.signedIn()
	var id string
	for _, s := range f.Sessions() {
		id = s.ID
	}
	f.send(t, http.MethodDelete, "/grid/sessions?id="+id, "")
	got := f.entries(t)
	want := []string{
		"victim|user.password||victim|allowed|", "victim|session.sign-in|||allowed|", "|session.refused|||refused|", "|session.sign-in|||allowed|",
		"|session.refused||victim|refused|", "|session.end||victim|done|",
	}
	for i := range got {
		if strings.Contains(got[i], "session.refused") {
			head, detail, _ := strings.Cut(got[i], "|since ")
			got[i] = head + "|"
			if strings.Contains(detail, "typed") {
				t.Error(detail)
			}
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Error("(-got +want):\n" + diff)
	}
}

// TestFailureRecorded: what was allowed and then failed says both.
func TestFailureRecorded(t *testing.T) {
	t.Parallel()
	f := audited(t)
	f.Eraser = brokenEraser{}
	f.as(t, "operator", http.MethodPost, "/grid/anonymize", matrix["POST /grid/anonymize"].body)
	want := []string{"operator|data.anonymize|demo|customer 1|allowed|", "operator|data.anonymize|demo|customer 1|failed|"}
	if diff := cmp.Diff(f.entries(t), want); diff != "" {
		t.Error("(-got +want):\n" + diff)
	}
}

type brokenEraser struct{}

func (brokenEraser) Erase(uint32, trackway.Customer, []string, trackway.Micros) (query.Erasure, error) {
	return query.Erasure{}, errors.New("the disk is broken")
}
