package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/api/room"
	"trackway/internal/api/table"
	"trackway/internal/change"
	"trackway/internal/piecewise"
	"trackway/internal/query"
)

// The record of a merge contains identifiers. Each route that returns events
// shows only those that the key may read.
func TestMergesTellNoHiddenIdentifiers(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.withKeys(map[string]map[trackway.Permission][]string{
		"all":    nil,
		"events": {trackway.GetEvents: nil},
		"plan":   {trackway.GetCustomers: {"plan"}, trackway.GetEvents: nil},
		"cookie": {trackway.GetCustomers: {"cookie"}, trackway.GetEvents: nil},
	})
	r.fill()
	forged := visit(trackway.MergeType, 4*time.Hour, trackway.Identifier{Name: "cookie", Value: "d"})
	forged.Properties = []trackway.Property{{Name: "absorbed_ids", Value: []byte(`"jane"`)}, {Name: "branch", Value: []byte(`"main"`)}}
	r.apply(forged)
	const (
		whole = `"absorbed_ids":{"registered":"jane"},"cause_ids":{"cookie":["c//1 +?"],"registered":"jane"},"survivor_ids":{"cookie":["c//1 +?"]}`
		none  = `"absorbed_ids":{},"cause_ids":{},"survivor_ids":{}`
		some  = `"absorbed_ids":{},"cause_ids":{"cookie":["c//1 +?"]},"survivor_ids":{"cookie":["c//1 +?"]}`
	)
	wants := map[string]string{"all": whole, "events": none, "plan": none, "cookie": some}
	for key, want := range wants {
		for _, path := range []string{"events?type=merge", "customers/1/events?type=merge"} {
			w := r.send(http.MethodGet, "/api/projects/"+projectToken+"/"+path, nil, asKey(key)...)
			holds(t, key+" "+path, w, want, key != "all")
		}
		if key == "plan" {
			continue // it can name nobody
		}
		ids := `"customer_ids":{"cookie":"c//1 +?"}`
		w := r.post(dataBase+"customers/events", strings.NewReader(`{`+ids+`,"event_types":["merge"]}`), asKey(key)...)
		holds(t, key+" data", w, want, key != "all")
		if key != "events" {
			w = r.post(dataBase+"customers/export-one", strings.NewReader(`{`+ids+`}`), asKey(key)...)
			holds(t, key+" export-one", w, want, key != "all")
		}
	}
	w := r.send(http.MethodGet, "/api/projects/"+projectToken+"/customers/3/events", nil, asKey("plan")...)
	holds(t, "a client's own", w, `{"absorbed_ids":{},"branch":"main"}`, true)
}

func holds(t *testing.T, what string, w *httptest.ResponseRecorder, want string, hidden bool) {
	t.Helper()
	got := w.Body.String()
	if w.Code != http.StatusOK || !strings.Contains(normal(got), normal(want)) || hidden && strings.Contains(got, "jane") {
		t.Errorf("%s: got %d %s, want %s in it", what, w.Code, got, want)
	}
}

// normal brings the two identifiers of a cause into one order.
func normal(text string) string {
	const one, other = `"cookie":["c//1 +?"],"registered":"jane"`, `"registered":"jane","cookie":["c//1 +?"]`
	return strings.ReplaceAll(text, one, other)
}

// TestHiddenIdentifiersNameNobody: by naming customers, a key cannot find out
// what it may not read. The answer is the same whether the customer exists or
// not.
func TestHiddenIdentifiersNameNobody(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.withKeys(map[string]map[trackway.Permission][]string{"plan": {trackway.GetCustomers: {"plan"}, trackway.GetEvents: nil}})
	r.fill()
	const refused = "this key may not name a customer by the identifier 'registered'"
	for _, who := range []string{"jane", "nobody"} {
		for _, path := range []string{"customers/registered=" + who, "customers/registered=" + who + "/events"} {
			w := r.send(http.MethodGet, "/api/projects/"+projectToken+"/"+path, nil, asKey("plan")...)
			check(t, w, http.StatusForbidden, refused)
		}
		for route, more := range map[string]string{
			"export-one": "", "events": `,"event_types":["visit"]`, "attributes": `,"attributes":[{"type":"property","property":"plan"}]`,
		} {
			body := `{"customer_ids":{"registered":"` + who + `"}` + more + `}`
			check(t, r.post(dataBase+"customers/"+route, strings.NewReader(body), asKey("plan")...), http.StatusForbidden, refused)
		}
	}
	w := r.send(http.MethodGet, "/api/projects/"+projectToken+"/customers/1", nil, asKey("plan")...)
	check(t, w, http.StatusOK, `"value":"gold"`)
}

// slowReader reads nothing until the test lets it. It records what the server
// holds meanwhile.
type slowReader struct {
	*httptest.ResponseRecorder

	write func()
	ends  []time.Time
}

func (w *slowReader) Write(b []byte) (int, error) {
	w.write()
	return w.ResponseRecorder.Write(b)
}

func (w *slowReader) SetWriteDeadline(end time.Time) error {
	w.ends = append(w.ends, end)
	return nil
}

// openSnapshots counts those that are open.
type openSnapshots struct {
	query.Store

	open int
}

func (s *openSnapshots) Snapshot() query.Snapshot {
	s.open++
	return &openSnapshot{s.Store.Snapshot(), s}
}

type openSnapshot struct {
	query.Snapshot

	of *openSnapshots
}

func (s *openSnapshot) Close() error {
	s.of.open--
	return s.Snapshot.Close()
}

// TestSlowReadersHoldNothing: a client that reads an answer slowly holds
// neither a place nor a snapshot, unless the answer is long.
func TestSlowReadersHoldNothing(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.withKeys(every)
	r.fill()
	counted := &openSnapshots{Store: r.store}
	r.reader.store = counted
	ask := func(method, path, body string) {
		q := httptest.NewRequest(method, path, strings.NewReader(body))
		q.Header.Set("Authorization", asKey("all")[1])
		written := false
		w := &slowReader{ResponseRecorder: httptest.NewRecorder()}
		w.write = func() {
			written = true
			questions, answers := r.reader.places.questions.Counts().Taken, r.reader.places.answers.Counts().Taken
			if counted.open > 0 || questions > 0 || answers > 0 {
				t.Errorf("%s: while it is read, %d snapshots, %d and %d places are held", path, counted.open, questions, answers)
			}
		}
		if r.Server.ServeHTTP(w, q); w.Code != http.StatusOK || !written {
			t.Errorf("%s: got %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"customers", "customers/1", "customers/1/events", "events", "stats"} {
		ask(http.MethodGet, "/api/projects/"+projectToken+"/"+path, "")
	}
	const jane = `"customer_ids":{"registered":"jane"}`
	for route, body := range map[string]string{
		"export-one": `{` + jane + `}`, "events": `{` + jane + `,"event_types":["visit"]}`, "export": `{"format":"csv"}`,
		"attributes": `{` + jane + `,"attributes":[{"type":"id","id":"registered"}]}`,
	} {
		ask(http.MethodPost, dataBase+"customers/"+route, body)
	}
}

// Long answers hold a place while they are read. One address may have few of
// them, and has to read them at a minimum rate.
func TestLongAnswersAreBounded(t *testing.T) {
	t.Parallel()
	r := newReading(t)
	r.withKeys(every)
	large := strings.Repeat("a", piecewise.Size/2)
	for i := range 12 {
		r.apply(setPlan(`"`+large+`"`, 0, trackway.Identifier{Name: "cookie", Value: fmt.Sprint("x", i)}))
	}
	export := func(write func()) *slowReader {
		q := httptest.NewRequest(http.MethodPost, dataBase+"customers/export", strings.NewReader(`{"format":"csv"}`))
		q.Header.Set("Authorization", asKey("all")[1])
		w := &slowReader{ResponseRecorder: httptest.NewRecorder(), write: write}
		r.Server.ServeHTTP(w, q)
		return w
	}
	const most = maxLong / placesPart
	asked := 1
	var codes []int
	var nested func()
	nested = func() { // the first write of each answer asks for another
		if asked <= most {
			asked++
			codes = append(codes, export(nested).Code)
		}
	}
	began := time.Now()
	w := export(nested)
	if want := append([]int{http.StatusServiceUnavailable}, slices.Repeat([]int{http.StatusOK}, most-1)...); w.Code != 200 || !slices.Equal(codes, want) {
		t.Errorf("got %d and within it, the last one first, %d, want %d", w.Code, codes, want)
	}
	for _, end := range w.ends {
		if end.After(time.Now().Add(piecewise.FirstTime)) || end.Before(began) {
			t.Errorf("a piece may be read until %s, more than %s from now", end, piecewise.FirstTime)
		}
	}
	answers, long := r.reader.places.answers.Counts().Taken, r.reader.places.long.Counts().Taken
	if len(w.ends) < 5 || answers > 0 || long > 0 {
		t.Errorf("%d pieces; %d and %d places are held in the end", len(w.ends), answers, long)
	}
	fill(t, r.reader.places.answers, maxAnswers)
	r.reader.patience = 0
	check(t, r.post(dataBase+"customers/export", strings.NewReader(`{"format":"csv"}`), asKey("all")...), 503, "Too many questions")
}

// fill has others take all places.
func fill(t *testing.T, p *room.Places, n int) {
	t.Helper()
	for i := range n {
		if !p.TryEnter(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})) {
			t.Fatalf("there are only %d places", i)
		}
	}
}

// empty undoes fill.
func empty(p *room.Places, n int) {
	for i := range n {
		p.Leave(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}))
	}
}

// Anybody can choose the names of properties, so a table with all of them has a
// bound. The error says what to do.
func TestExportOfManyColumns(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(map[string]map[trackway.Permission][]string{"all": nil, "some": {trackway.GetCustomers: {"cookie", "p7"}}})
	s := jane()
	s.profile.Properties = nil
	for i := range table.MaxColumns + 1 {
		s.profile.Properties = append(s.profile.Properties, property(fmt.Sprintf("p%d", i), "1"))
	}
	f.reader.store = s
	export := func(key, more string) *httptest.ResponseRecorder {
		return f.post(dataBase+"customers/export", strings.NewReader(`{"format":"table_json"`+more+`}`), asKey(key)...)
	}
	check(t, export("all", ""), http.StatusBadRequest, "more than 1000 different properties: name the columns.")
	check(t, export("all", `,"attributes":[{"type":"property","property":"p0"}]`), http.StatusOK, `"rows":[[1]]`)
	check(t, export("some", ""), http.StatusOK, `"header":["cookie","p7"]`)
}

// A table for programs has texts as they are. A table for a spreadsheet, on
// request, is safe to open there.
func TestExportHoldsNoFormulas(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(map[string]map[trackway.Permission][]string{"all": nil})
	s := jane()
	s.profile.IDs = []trackway.Identifier{{Name: "registered", Value: "@jane", Hard: true}}
	s.profile.Properties = []trackway.DatedProperty{property("-n", "-7"), property("a", `"=HYPERLINK(\"x\")"`), property("b", `"+49"`), property("c", `"'tis"`)}
	f.reader.store = s
	for _, c := range []struct{ more, want string }{
		{`,"raw":false`, "registered,cookie,'-n,a,b,c\r\n'@jane,,-7,\"'=HYPERLINK(\"\"x\"\")\",+49,'tis\r\n"},
		{`,"raw":true`, "registered,cookie,-n,a,b,c\r\n@jane,,-7,\"=HYPERLINK(\"\"x\"\")\",+49,'tis\r\n"},
		{"", "registered,cookie,-n,a,b,c\r\n@jane,,-7,\"=HYPERLINK(\"\"x\"\")\",+49,'tis\r\n"},
	} {
		w := f.post(dataBase+"customers/export", strings.NewReader(`{"format":"csv"`+c.more+`}`), asKey("all")...)
		if w.Body.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.more, w.Body, c.want)
		}
	}
}

// TestConsentsHaveADeadline: a question for consents is like others: it has a
// place and a deadline.
func TestConsentsHaveADeadline(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	f.reader.store = jane()
	f.reader.patience = 0
	body := `{"customer_ids":{"cookie":"c"},"attributes":[{"type":"consent","category":"news"}]}`
	check(t, f.post(dataBase+"customers/attributes", strings.NewReader(body), asKey("all")...), 503, "not found in time")
	fill(t, f.reader.places.questions, f.reader.places.questions.Counts().Size)
	check(t, f.post(dataBase+"customers/attributes", strings.NewReader(body), asKey("all")...), 503, "Too many questions")
}

// together is a project with so many types that others are counted together.
type together struct{ noSnapshot }

func (s together) Snapshot() query.Snapshot { return s }

func (together) Version(uint32) change.Version { return change.Version{Counter: 1} }

func (together) CountedByName(_ uint32, typ string) bool { return typ == "early" }

func (together) Counts(uint32, query.CountRange, func(query.Count) bool) error { return nil }

// A missing count is not a count of zero.
func TestStatsOfATypeCountedWithOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	f.reader.store = together{}
	for typ, want := range map[string]int{"early": http.StatusOK, "late": http.StatusBadRequest} {
		w := f.send(http.MethodGet, "/api/projects/"+projectToken+"/stats?type="+typ, nil, asKey("all")...)
		check(t, w, want, map[string]string{"early": `"rows":[]`, "late": "counted together"}[typ])
	}
}
