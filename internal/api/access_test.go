package api

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"trackway"
	"trackway/internal/auth"
	"trackway/internal/query"
)

// oneCustomer is a store with one customer, whose identifiers are
// registered=jane and cookie=c.
type oneCustomer struct {
	noSnapshot

	profile trackway.Profile
	events  []trackway.Event // in order of time
}

func (s *oneCustomer) Snapshot() query.Snapshot { return s }

func (s *oneCustomer) Version(uint32) uint64 { return 1 }

func (s *oneCustomer) Find(_ uint32, id trackway.Identifier) (trackway.Customer, error) {
	if slices.Contains(s.profile.IDs, id) {
		return s.profile.Customer, nil
	}
	return 0, nil
}

func (s *oneCustomer) Profile(uint32, trackway.Customer) (*trackway.Profile, error) {
	return &s.profile, nil
}

func (s *oneCustomer) Profiles(_ uint32, yield func(*trackway.Profile) bool) error {
	yield(&s.profile)
	return nil
}

func (s *oneCustomer) Events(_ uint32, _ trackway.Customer, newestFirst bool, yield func(*trackway.Event) bool) error {
	events := slices.Clone(s.events)
	if newestFirst {
		slices.Reverse(events)
	}
	for i := range events {
		if !yield(&events[i]) {
			break
		}
	}
	return nil
}

func property(name, value string) trackway.DatedProperty {
	return trackway.DatedProperty{Property: trackway.Property{Name: name, Value: []byte(value)}}
}

func jane() *oneCustomer {
	event := func(second int64, name, properties string) trackway.Event {
		return trackway.Event{Type: name, Time: trackway.Micros(second * 1e6), Properties: []byte(properties)}
	}
	return &oneCustomer{
		profile: trackway.Profile{
			Customer: 1, IDs: []trackway.Identifier{{Name: "registered", Value: "jane", Hard: true}, {Name: "cookie", Value: "c"}},
			Properties: []trackway.DatedProperty{property("email", `"j@x.org"`), property("first_name", `"Jane, \"J\""`), property("tags", `["a",null]`)},
		},
		events: []trackway.Event{
			event(1, "consent", `{"action":"accept","category":"news"}`),
			event(2, "purchase", `{"total":7.99}`),
			event(3, "consent", `{"action":"reject","category":"sms"}`),
			event(4, "consent", `{"action":"accept","category":"old","valid_until":1000.5}`),
			event(5, "consent", `{"action":"accept","category":"long","valid_until":99999999999}`),
			event(6, "consent", `{"action":"accept","category":"ever","valid_until":"unlimited"}`),
			event(7, "consent", `{"action":"accept","category":"odd","valid_until":"soon"}`),
			event(8, "consent", `{"action":"reject","category":"withdrawn"}`),
			event(9, "visit", `{}`),
		},
	}
}

// withKeys gives the fixture a project with private keys. The name of a key,
// which is also its id and secret, says what it may do.
func (f *fixture) withKeys(permissions map[string]map[trackway.Permission][]string) *fixture {
	project := trackway.Project{Number: 1, Name: "demo", Token: projectToken, Legacy: true, Hard: []string{"registered"}, Soft: []string{"cookie"}}
	for _, id := range []string{"news", "sms", "old", "long", "ever", "odd", "silent"} {
		project.Consents = append(project.Consents, trackway.ConsentCategory{ID: id, Name: strings.ToUpper(id)})
	}
	for _, id := range []string{"interest", "withdrawn"} {
		project.Consents = append(project.Consents, trackway.ConsentCategory{ID: id, Name: id, LegitimateInterest: true})
	}
	for name, p := range permissions {
		project.Keys = append(project.Keys, trackway.Key{
			Name: name, Kind: trackway.PrivateKey, ID: name, Secret: sha256.Sum256([]byte(name)), Permissions: p,
		})
	}
	project.Keys = append(project.Keys, trackway.Key{Name: "web", Kind: trackway.PublicKey, ID: publicToken})
	access := f.access.Load().Access
	access.Keys = auth.New([]trackway.Project{project})
	f.Reload(access)
	return f
}

func asKey(name string) []string {
	return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+name))}
}

// every grants each permission alone, and nothing else.
var every = map[string]map[trackway.Permission][]string{
	"set-customers": {trackway.SetCustomers: nil}, "get-customers": {trackway.GetCustomers: nil},
	"set-events": {trackway.SetEvents: nil}, "get-events": {trackway.GetEvents: nil}, "gdpr": {trackway.GDPR: nil}, "admin": {trackway.Admin: nil},
	"all": nil,
}

// A route lets in a key with its permission, or with all permissions, and no
// other key. This test does not check what the key then receives.
func TestEachRouteNeedsItsPermission(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	f.reader.store, f.eraser = noUsage{}, &erasures{}
	for _, rt := range new(Server).routes() {
		if rt.open || rt.admin { // see TestAdminNeedsItsKey
			continue
		}
		for name, permissions := range every {
			var body io.Reader
			if rt.maxBody > 0 {
				body = strings.NewReader("no JSON") // a key that is let in is told so
			}
			path := strings.NewReplacer("{token}", projectToken, "{stream}", projectToken).Replace(rt.path)
			if strings.HasPrefix(path, "/track/u/") {
				path += "?stream_id=" + projectToken
			}
			r := httptest.NewRequest(rt.method, path, body)
			r.Header.Set("Authorization", asKey(name)[1])
			w := httptest.NewRecorder()
			f.ServeHTTP(w, r)
			_, has := permissions[rt.needs]
			if want := rt.needs == "" || permissions == nil || has; (w.Code != http.StatusForbidden) != want {
				t.Errorf("%s %s with a key for %s: got %d %s, want it let in: %t", rt.method, rt.path, name, w.Code, w.Body, want)
			}
		}
	}
}

// noUsage is a store of a project that has sent nothing.
type noUsage struct{ noSnapshot }

func (s noUsage) Snapshot() query.Snapshot { return s }

func (noUsage) Version(uint32) uint64 { return 1 }

func (noUsage) Usage(uint32, func(query.Day, query.Usage) bool) error { return nil }

// TestRestrictedTracking: a command that sets or adds what its key may not is
// refused, alone and in a batch.
func TestRestrictedTracking(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(map[string]map[trackway.Permission][]string{
		"some":   {trackway.SetCustomers: {"first_name"}, trackway.SetEvents: {"purchase"}},
		"events": {trackway.SetEvents: nil},
	})
	const ids = `"customer_ids":{"cookie":"c"}`
	for _, c := range []struct {
		key, name, data, refused string
	}{
		{"some", "customers", `{` + ids + `,"properties":{"first_name":"J"}}`, ""},
		{"some", "customers", `{` + ids + `}`, ""},
		{"some", "customers", `{` + ids + `,"properties":{"email":"e","first_name":"J"}}`, "Not authorized: this key may not set the property 'email'."},
		{"some", "customers/events", `{` + ids + `,"event_type":"purchase","properties":{"email":"e"}}`, ""},
		{"some", "customers/events", `{` + ids + `,"event_type":"visit"}`, "Not authorized: this key may not add events of the type 'visit'."},
		{"some", "customers/events", `{` + ids + `,"event_type":"` + strings.Repeat("é", 100) + `"}`, "Not authorized: this key may not add events of the type '" + strings.Repeat("é", 32) + "…'."},
		{"some", "campaigns/clicks", `{"url":"u"}`, "Not authorized: this key may not add events of the type 'campaign_click'."},
		{"events", "campaigns/clicks", `{"url":"u"}`, ""},
		{"events", "customers", `{` + ids + `}`, "Not authorized: this key does not have the permission customers:set."},
	} {
		code, single, batch := 200, `{"errors":[],"success":true}`, `{"results":[{"success":true},{"success":true,"time":`
		if c.refused != "" {
			code, single = 403, `{"success":false,"errors":["`+c.refused+`"]}`
			batch = `{"results":[{"success":false,"errors":["` + c.refused + `"]},{"success":true,"time":`
		}
		check(t, f.post(trackBase+c.name, strings.NewReader(c.data), asKey(c.key)...), code, single)
		body := `{"commands":[{"name":"` + c.name + `","data":` + c.data + `},{"name":"system/time"}]}`
		check(t, f.post(trackBase+"batch", strings.NewReader(body), asKey(c.key)...), 200, batch)
	}
}

func TestRestrictedReading(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(map[string]map[trackway.Permission][]string{
		"all":      nil,
		"some":     {trackway.GetCustomers: {"first_name", "cookie"}, trackway.GetEvents: {"visit", "purchase"}},
		"profiles": {trackway.GetCustomers: nil},
		"others":   {trackway.GetEvents: {"no_such"}}, // names a customer by what it knows
		"nothing":  {trackway.GetCustomers: {"cookie_"}, trackway.GetEvents: {"no_such"}},
	})
	f.reader.store = jane()
	const ids, jane = `"customer_ids":{"cookie":"c"}`, `"customer_ids":{"registered":"jane"}`
	const events = `{"type":"purchase","timestamp":2,"properties":{"total":7.99}},{"type":"visit","timestamp":9,"properties":{}}`
	for _, c := range []struct{ key, route, body, want string }{
		{
			"some", "export-one", `{` + ids + `}`,
			`{"success":true,"ids":{"cookie":["c"]},"properties":{"first_name":"Jane, \"J\""},"events":[` + events + `]}`,
		},
		{
			"profiles", "export-one", `{` + ids + `}`,
			`{"success":true,"ids":{"registered":"jane","cookie":["c"]},"properties":{"email":"j@x.org","first_name":"Jane, \"J\"","tags":["a",null]},"events":[]}`,
		},
		{"nothing", "export", `{"format":"table_json"}`, `{"success":true,"header":[],"rows":[[]]}`},

		{"all", "events", `{` + ids + `,"event_types":["visit","purchase"]}`, `{"success":true,"data":[` + events + `]}`},
		{"some", "events", `{` + ids + `,"event_types":["consent","purchase"]}`, `{"success":true,"data":[{"type":"purchase","timestamp":2,"properties":{"total":7.99}}]}`},
		{"others", "events", `{` + jane + `,"event_types":["consent","purchase"]}`, `{"success":true,"data":[]}`},

		{
			"some", "attributes",
			`{` + ids + `,"attributes":[{"type":"property","property":"email"},{"type":"property","property":"first_name"},{"type":"id","id":"registered"},
				{"type":"id","id":"cookie"},{"type":"consent","category":"news"},{"type":"segmentation","id":"s"}]}`,
			`{"results":[{"success":false,"error":"Not authorized"},{"success":true,"value":"Jane, \"J\""},{"success":false,"error":"Not authorized"},` +
				`{"success":true,"value":["c"]},{"success":false,"error":"Not authorized"},{"success":false,"error":"Not Found"}],"success":true}`,
		},

		{
			"profiles", "attributes", `{` + ids + `,"attributes":[{"type":"property","property":"no_such"},{"type":"property","property":""},{"type":"id","id":""}]}`,
			`{"results":[{"success":true,"value":null},{"success":true,"value":null},{"success":true,"value":null}],"success":true}`,
		}, // "" is a name, too

		{"all", "export", `{"format":"table_json"}`, `{"success":true,"header":["registered","cookie","email","first_name","tags"],` +
			`"rows":[["jane",["c"],"j@x.org","Jane, \"J\"",["a",null]]]}`},
		{"all", "export", `{"format":"csv"}`, "registered,cookie,email,first_name,tags\r\n" +
			`jane,"[""c""]",j@x.org,"Jane, ""J""","[""a"",null]"` + "\r\n"},
		{"some", "export", `{"format":"native_json"}`, `{"success":true,"fields":[{"id":"cookie","type":"id"},{"property":"first_name","type":"property"}],` +
			`"data":[[["c"],"Jane, \"J\""]]}`},
		{
			"some", "export", `{"format":"table_json","attributes":[{"type":"property","property":"email"},{"type":"property","property":"first_name"}],"filter":"all"}`,
			`{"success":true,"header":["first_name"],"rows":[["Jane, \"J\""]]}`,
		},
		{"all", "export", `{"format":"csv","attributes":[{"type":"property","property":"no_such"}]}`, "no_such\r\n\"\"\r\n"},
		{
			"all", "export", `{"format":"table_json","attributes":[{"type":"property","property":"tags"},{"type":"property","property":"b"},` +
				`{"type":"id","id":"registered"},{"type":"property","property":"email"},{"type":"property","property":"first_name"}]}`,
			`{"success":true,"header":["tags","b","registered","email","first_name"],"rows":[[["a",null],null,"jane","j@x.org","Jane, \"J\""]]}`,
		},
	} {
		w := f.post(dataBase+"customers/"+c.route, strings.NewReader(c.body), asKey(c.key)...)
		if w.Code != 200 || w.Body.String() != c.want {
			t.Errorf("%s of %s with the key %s: got %d\n%s\nwant\n%s", c.route, c.body, c.key, w.Code, w.Body, c.want)
		}
		media := "application/json"
		if strings.Contains(c.body, "csv") {
			media = "text/csv; charset=utf-8; header=present"
		}
		if got := w.Header().Get("Content-Type"); got != media {
			t.Errorf("%s: got Content-Type %q, want %q", c.body, got, media)
		}
	}
}

// A failure is answered in JSON, even if the success would have been another
// format.
func TestExportFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	w := f.post(dataBase+"customers/export", strings.NewReader(`{"format":"csv"}`), asKey("all")...)
	check(t, w, 500, `{"errors":{"code":500,`)
	w = f.post(dataBase+"customers/export", strings.NewReader(`{"format":"xlsx"}`), asKey("all")...)
	check(t, w, 400, `{"success":false,"errors":{"format":["Field 'format': expected csv, table_json or native_json."]}}`)
	w = f.post(dataBase+"customers/export", strings.NewReader(`{"format":"csv","attributes":[{"type":""}]}`), asKey("all")...)
	check(t, w, 400, `{"success":false,"errors":{"attributes":["Field 'attributes': expected attributes of type property or id."]}}`)
}

// breaking is a store with one customer that cannot be read after many rows.
type breaking struct{ *oneCustomer }

func (s breaking) Snapshot() query.Snapshot { return s }

func (s breaking) Profiles(_ uint32, yield func(*trackway.Profile) bool) error {
	for range 10_000 {
		if !yield(&s.profile) {
			return nil
		}
	}
	return errDisk
}

// A failure in the middle of an answer breaks it off, so that nobody takes a
// part for the whole, or the failure for a row.
func TestExportIsBrokenOff(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	f.reader.store = breaking{jane()}
	r := httptest.NewRequest(http.MethodPost, dataBase+"customers/export", strings.NewReader(`{"format":"csv","attributes":[{"type":"id","id":"cookie"}]}`))
	r.Header.Set("Authorization", asKey("all")[1])
	w := httptest.NewRecorder()
	defer func() {
		if got := recover(); got != http.ErrAbortHandler { //nolint:errorlint // the value itself, not what it wraps
			t.Errorf("got %v, want the answer to be broken off", got)
		}
		if body := w.Body.String(); w.Code != 200 || !strings.HasSuffix(body, "\"[\"\"c\"\"]\"\r\n") {
			t.Errorf("got %d, ending in %q", w.Code, body[max(0, len(body)-100):])
		}
	}()
	f.Server.ServeHTTP(w, r)
}

// The newest event about a category decides, as long as it is valid. If there
// is no such event, the category's legitimate interest decides.
func TestConsents(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	f.reader.store = jane()
	wants := map[string]string{
		"news": "true", "sms": "false", "old": "false", "long": "true", "ever": "true", "odd": "false",
		"silent": "false", "interest": "true", "withdrawn": "false", "unknown": "",
	}
	for category, want := range wants {
		answer := `{"results":[{"success":true,"value":` + want + `}],"success":true}`
		if want == "" {
			answer = `{"results":[{"success":false,"error":"Not Found"}],"success":true}`
		}
		body := `{"customer_ids":{"cookie":"c"},"attributes":[{"type":"consent","category":"` + category + `"}]}`
		w := f.post(dataBase+"customers/attributes", strings.NewReader(body), asKey("all")...)
		if w.Code != 200 || w.Body.String() != answer {
			t.Errorf("%s: got %d %s, want %s", category, w.Code, w.Body, answer)
		}
	}
}

// TestConsentCategories: any key may ask for the categories, from pages of any
// site as well.
func TestConsentCategories(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	const first = `{"results":[{"id":"news","name":"NEWS","description":"","legitimate_interest":false,"sources":{"crm":false,"import":false,` +
		`"page":false,"private_api":true,"public_api":true,"scenario":false},"translations":{}},`
	w := f.send(http.MethodGet, dataBase+"consent/categories", nil, "Origin", "https://shop.example")
	check(t, w, 200, first)
	if got := w.Header().Get("Access-Control-Allow-Origin"); got != "*" {
		t.Errorf("Access-Control-Allow-Origin: got %q, want *", got)
	}
	check(t, f.send(http.MethodGet, dataBase+"consent/categories", nil, "If-None-Match", w.Header().Get("ETag")), 304, "")
	check(t, f.send(http.MethodGet, dataBase+"consent/categories", nil, asKey("gdpr")...), 200, first)
	check(t, f.send(http.MethodOptions, dataBase+"consent/categories", nil, "Origin", "https://shop.example"), 204, "")
	check(t, f.send(http.MethodGet, dataBase+"consent/categories", nil, "Authorization", "Token nobody"), 401, "Access key not found")
}

// erasures notes who is erased, and fails after some.
type erasures struct {
	left int
	done []trackway.Customer
}

func (e *erasures) Erase(_ uint32, c trackway.Customer, _ []string, at trackway.Micros) (query.Erasure, error) {
	if e.left == 0 {
		return query.Erasure{}, errDisk
	}
	e.left--
	e.done = append(e.done, c)
	return query.Erasure{ID: uint64(len(e.done)), Asked: at}, nil
}

func (e *erasures) Erasures(uint32) ([]query.Erasure, error) { return nil, nil }

func TestAnonymizeBulk(t *testing.T) {
	t.Parallel()
	f := newFixture(t).withKeys(every)
	f.reader.store = jane()
	e := &erasures{left: 3}
	f.eraser = e
	post := func(body string) *httptest.ResponseRecorder {
		return f.post(dataBase+"customers/anonymize_bulk", strings.NewReader(body), asKey("gdpr")...)
	}
	one := `{"customer_ids":{"cookie":"c"}}`
	check(t, post(`{"customers":[`+one+`,{"customer_ids":{"cookie":"nobody"}},{"customer_ids":{"phone":"1"}},{"customer_ids":{"registered":"jane"}}]}`), 200,
		`{"results":[{"success":true,"erasure":{"id":"1","state":"scheduled"}},{"success":false,"errors":{"_global":["Customer does not exist"]}},`+
			`{"success":false,"errors":{"customer_ids":["Field 'customer_ids': expected registered or cookie, got \"phone\"."]}},{"success":true,"erasure":{"id":"2","state":"scheduled"}}],"success":true}`)
	for body, want := range map[string]string{
		`{}`:                             `{"customers":["Field 'customers' is required."]}`,
		`{"customers":[]}`:               `{"customers":["Field 'customers' is empty: expected at least one element."]}`,
		`{"customers":[` + one + `,{}]}`: `{"customer_ids":["Must specify at least one customer ID"]}`,
		`{"customers":[` + strings.TrimSuffix(strings.Repeat(one+",", 1001), ",") + `]}`: `{"customers":["Field 'customers': at most 1000 elements."]}`,
	} {
		check(t, post(body), 400, `{"success":false,"errors":`+want+`}`)
	}
	if len(e.done) != 2 {
		t.Errorf("%d were erased, want 2: no body that is refused erases anybody", len(e.done))
	}
	check(t, post(`{"customers":[`+one+`,`+one+`]}`), 500, `{"errors":{"code":500,`)
	if len(e.done) != 3 {
		t.Errorf("%d were erased, want 3", len(e.done))
	}
}

// The end of a rotation is a matter of the clock, not of a reload.
func TestRotationEndsByItself(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	access := f.access.Load().Access
	for _, c := range []struct {
		left   time.Duration
		status int
	}{{time.Hour, 200}, {-time.Nanosecond, 401}} {
		access.Keys = auth.New([]trackway.Project{{Number: 1, Token: projectToken, Keys: []trackway.Key{
			{Name: "web", Kind: trackway.PublicKey, ID: "new", PreviousID: publicToken, PreviousUntil: time.Now().Add(c.left)},
		}}})
		f.Reload(access)
		if w := f.send(http.MethodGet, trackBase+"system/time", nil); w.Code != c.status {
			t.Errorf("%v before the end: got %d, want %d", c.left, w.Code, c.status)
		}
	}
}
