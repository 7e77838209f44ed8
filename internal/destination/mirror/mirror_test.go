package mirror

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/outbound"
)

const token = "12345678-1234-1234-1234-123456789abc"

func projects() []trackway.Project {
	return []trackway.Project{
		{Name: "demo", Token: token, Keys: []trackway.Key{
			{Kind: trackway.PrivateKey, ID: "id"},
			{Kind: trackway.PublicKey, ID: "limited", Permissions: map[trackway.Permission][]string{trackway.SetEvents: nil}},
			{Kind: trackway.PublicKey, ID: "public"},
		}},
		{Name: "other", Token: "other-token", Keys: []trackway.Key{{Kind: trackway.PublicKey, ID: "other-key"}}},
		{Name: "closed", Token: "closed-token"},
	}
}

// vendor is the other side. It answers each command with success, unless answer
// says otherwise.
type vendor struct {
	*httptest.Server

	answer   func(w http.ResponseWriter, commands []string) bool
	requests []string   // path and authorization
	batches  [][]string // commands that were answered
}

func start(t *testing.T, answer func(w http.ResponseWriter, commands []string) bool) *vendor {
	t.Helper()
	v := &vendor{answer: answer}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	return v
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.requests = append(v.requests, r.URL.Path+" "+r.Header.Get("Authorization"))
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	var batch struct{ Commands []json.RawMessage }
	_ = json.NewDecoder(body).Decode(&batch)
	commands := make([]string, len(batch.Commands))
	for i, c := range batch.Commands {
		commands[i] = string(c)
	}
	if v.answer != nil && v.answer(w, commands) {
		return
	}
	v.batches = append(v.batches, commands)
	results := strings.Repeat(`,{"success":true}`, len(commands))
	_, _ = fmt.Fprintf(w, `{"results":[%s],"success":true}`, strings.TrimPrefix(results, ","))
}

func open(t *testing.T, d config.Destination) *Sink {
	t.Helper()
	d.Allow = []string{"127.0.0.1"}
	s, err := New(d, projects)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if k, ok := s.(Keeper); ok {
		return k.Sink
	}
	return s.(*Sink) // there is no other
}

func holder(c trackway.Customer) *destination.Customer {
	return &destination.Customer{
		Customer: c, Project: "demo", Properties: []byte(`{"plan":"pro"}`),
		IDs: []trackway.Identifier{
			{Name: "registered", Value: fmt.Sprintf("r%d@example.com", c), Hard: true},
			{Name: "cookie", Value: fmt.Sprintf("c%d", c)},
			{Name: "cookie", Value: fmt.Sprintf("d%d", c)},
		},
	}
}

// batch returns a batch of n events, which belong to the given number of
// customers in turn.
func batch(n, customers int) *destination.Batch {
	b := &destination.Batch{Store: "s", After: 100, Through: 100 + uint64(n)}
	holders := map[int]*destination.Customer{}
	for i := range n {
		c := i%customers + 1
		if holders[c] == nil {
			holders[c] = holder(trackway.Customer(c))
		}
		b.Events = append(b.Events, destination.Event{
			Seq: 101 + uint64(i), Project: "demo", Customer: trackway.Customer(c), Type: "visit", At: trackway.Micros(1_500_000 + i),
			Properties: []byte(`{"n":` + strconv.Itoa(i) + `}`), Holder: holders[c],
		})
	}
	return b
}

func TestCommands(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	b := batch(3, 2)
	b.Customers = []destination.Customer{*holder(1), {Customer: 7, Project: "demo", Survivor: 1, Properties: []byte(`{}`)}, {Customer: 8, Project: "demo", Erased: true}}
	b.Events = append(b.Events,
		destination.Event{Seq: 110, Project: "demo", Customer: 1, Type: "merge", Properties: []byte(`{}`), Holder: holder(1)},
		destination.Event{Seq: 111, Project: "demo", Customer: 8, Type: "visit", Properties: []byte(`{}`), Holder: &destination.Customer{Customer: 8}},
		destination.Event{Seq: 112, Project: "other", Customer: 9, Type: `a"b`, At: 2_000_000, Properties: []byte(`{}`), Holder: holder(9)},
	)
	b.Rewritten = []destination.Event{{Seq: 5, Project: "demo"}}
	s := open(t, config.Destination{URL: v.URL})
	rejects, err := s.Write(t.Context(), b)
	want := []destination.Reject{{Number: 111, Table: "events", Reason: "the customer has no identifier: they are anonymous, or were erased"}}
	if diff := cmp.Diff(want, rejects); diff != "" || err != nil {
		t.Errorf("rejects (-want +got):\n%s%v", diff, err)
	}
	const ids1 = `{"registered":"r1@example.com","cookie":["c1","d1"]}`
	if diff := cmp.Diff([][]string{
		{
			`{"name":"customers","data":{"customer_ids":{"registered":"r1@example.com"},"properties":{"plan":"pro"}}}`,
			`{"name":"customers","data":{"customer_ids":` + ids1 + `}}`,
			`{"name":"customers/events","data":{"customer_ids":{"registered":"r1@example.com"},"event_type":"visit","timestamp":1.5,"properties":{"n":0}}}`,
			`{"name":"customers/events","data":{"customer_ids":{"registered":"r2@example.com"},"event_type":"visit","timestamp":1.500001,"properties":{"n":1}}}`,
			`{"name":"customers/events","data":{"customer_ids":{"registered":"r1@example.com"},"event_type":"visit","timestamp":1.500002,"properties":{"n":2}}}`,
		},
		{`{"name":"customers/events","data":{"customer_ids":{"registered":"r9@example.com"},"event_type":"a\"b","timestamp":2,"properties":{}}}`},
	}, v.batches); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"/track/v2/projects/" + token + "/batch Token public", "/track/v2/projects/other-token/batch Token other-key",
	}, v.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// With an identifier for our numbers, events name the customer by it. Merges
// come first, then erasures.
func TestTagged(t *testing.T) {
	t.Parallel()
	v := start(t, func(w http.ResponseWriter, commands []string) bool {
		if len(commands) > 0 {
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"success":false,"errors":{"_global":["Customer does not exist"]}}`)
		return true
	})
	b := batch(1, 1)
	b.Customers = []destination.Customer{*holder(1), {Customer: 8, Project: "demo", Erased: true}, {Customer: 7, Project: "demo", Survivor: 1}}
	s := open(t, config.Destination{URL: v.URL, Identifier: "tw", User: "u", Password: "p"})
	if rejects, err := s.Write(t.Context(), b); err != nil || len(rejects) > 0 {
		t.Error(rejects, err)
	}
	if diff := cmp.Diff([][]string{{`{"name":"customers","data":{"customer_ids":{"tw":["s-1","s-7"]}}}`}, {
		`{"name":"customers","data":{"customer_ids":{"registered":"r1@example.com","tw":["s-1"]},"properties":{"plan":"pro"}}}`,
		`{"name":"customers","data":{"customer_ids":{"registered":"r1@example.com","cookie":["c1","d1"],"tw":["s-1"]}}}`,
		`{"name":"customers/events","data":{"customer_ids":{"tw":["s-1"]},"event_type":"visit","timestamp":1.5,"properties":{"n":0}}}`,
	}}, v.batches); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
	if want := "/data/v2/projects/" + token + "/customers/anonymize Basic dTpw"; len(v.requests) != 3 || v.requests[1] != want {
		t.Errorf("got requests %q", v.requests)
	}
	for _, c := range []struct {
		d     config.Destination
		keeps bool
	}{
		{config.Destination{URL: v.URL, Identifier: "tw", User: "u"}, false},
		{config.Destination{URL: v.URL, Identifier: "tw"}, true},
		{config.Destination{URL: v.URL, User: "u"}, true},
	} {
		s, err := New(c.d, projects)
		if _, keeps := s.(destination.Keeper); err != nil || keeps != c.keeps {
			t.Errorf("%+v: keeps %v, %v", c.d, keeps, err)
		}
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	v := start(t, func(w http.ResponseWriter, _ []string) bool {
		_, _ = io.WriteString(w, `{"success":true,"time":1}`)
		return true
	})
	for _, c := range []struct {
		d    config.Destination
		want []string
	}{
		{config.Destination{URL: v.URL + "/", Projects: []string{"demo"}}, []string{"/track/v2/projects/" + token + "/system/time Token public"}},
		{
			config.Destination{URL: v.URL + "/track/v2/projects/there/", Projects: []string{"demo"}, User: "u", Password: "p"},
			[]string{"/track/v2/projects/there/system/time Basic dTpw"},
		},
		{
			config.Destination{URL: v.URL + "/base", User: "u", Password: "p"},
			[]string{
				"/base/track/v2/projects/" + token + "/system/time Basic dTpw", "/base/track/v2/projects/other-token/system/time Basic dTpw",
				"/base/track/v2/projects/closed-token/system/time Basic dTpw",
			},
		},
	} {
		v.requests = nil
		if err := open(t, c.d).Check(t.Context()); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(c.want, v.requests); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.d, diff)
		}
	}
	if err := open(t, config.Destination{URL: v.URL, Projects: []string{"closed"}}).Check(t.Context()); err == nil || !strings.Contains(err.Error(), "no unrestricted public key") {
		t.Errorf("got %v", err)
	}
	b := batch(1, 1)
	b.Events[0].Project = "gone"
	if _, err := open(t, config.Destination{URL: v.URL}).Write(t.Context(), b); err == nil || !strings.Contains(err.Error(), "not configured") {
		t.Errorf("got %v", err)
	}
	for _, d := range []config.Destination{
		{URL: ""},
		{URL: "http://user:hidden@x"},
		{URL: "http://x" + apiPath + "hidden"},
		{URL: "http://x" + apiPath + "hidden", Projects: []string{"a", "b"}},
		{URL: "http://x" + apiPath, Projects: []string{"a"}},
		{URL: "http://x" + apiPath + "hidden/batch", Projects: []string{"a"}},
	} {
		if _, err := New(d, projects); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: got %v", d.URL, err)
		}
	}
}

// A refused command is a reject with the other side's reason, without values.
func TestPartialFailure(t *testing.T) {
	t.Parallel()
	v := start(t, func(w http.ResponseWriter, commands []string) bool {
		results := make([]string, len(commands))
		for i := range commands {
			results[i] = `{"success":true}`
		}
		results[1] = `{"success":false,"errors":["r2@example.com has no \"visit\"","at c2 " , 7]}`
		results[2] = `{"success":false}`
		_, _ = fmt.Fprintf(w, `{"results":[%s]}`, strings.Join(results, ","))
		return true
	})
	rejects, err := open(t, config.Destination{URL: v.URL}).Write(t.Context(), batch(4, 3))
	if diff := cmp.Diff([]destination.Reject{
		{Number: 102, Table: "events", Reason: `… has no "visit" at c2 `}, {Number: 103, Table: "events", Reason: "refused without a reason"},
	}, rejects); diff != "" || err != nil {
		t.Errorf("rejects (-want +got):\n%s%v", diff, err)
	}
}

// If a request is refused as a whole, sending halves of it finds the command at
// fault.
func TestHalves(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusRequestEntityTooLarge, http.StatusBadRequest} {
		v := start(t, func(w http.ResponseWriter, commands []string) bool {
			if !strings.Contains(strings.Join(commands, ""), `{"n":33}`) {
				return false
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"success":false,"message":"Invalid JSON"}`)
			return true
		})
		rejects, err := open(t, config.Destination{URL: v.URL}).Write(t.Context(), batch(130, 7))
		if err != nil || len(rejects) != 1 || rejects[0].Number != 134 {
			t.Errorf("%d: got %v, %v", status, rejects, err)
		}
		stored := 0
		for _, commands := range v.batches {
			if commands[0] != `{"name":"system/time"}` { // whether it takes anything
				stored += len(commands)
			}
		}
		if stored != 129 {
			t.Errorf("%d: %d commands arrived, want 129", status, stored)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		body   string
		after  string
		want   string
		busy   time.Duration
	}{
		"limited":      {status: 429, after: "7", want: "429", busy: 7 * time.Second},
		"busy":         {status: 503, after: "9", want: "503", busy: 9 * time.Second},
		"limited, bad": {status: 429, want: "429"},
		"no key":       {status: 401, want: "this key"},
		"wrong secret": {status: 403, want: "this key"},
		"no project":   {status: 400, body: `{"success":false,"error":"Invalid project id"}`, want: "this project"},
		"a proxy":      {status: 400, body: `<html>`, want: "this project"},
		"not there":    {status: 404, want: "is the URL right"},
		"moved":        {status: 302, want: "redirects are not followed"},
		"broken":       {status: 500, want: "500"},
		"not ours":     {status: 200, body: `<html>`, want: "not from a tracking server"},
		"incomplete":   {status: 200, body: `{"results":[{"success":true}]}`, want: "not from a tracking server"},
		"undecided":    {status: 200, body: `{"results":[{"success":true},{}]}`, want: "not from a tracking server"},
		"cut":          {status: 200, body: `{"results":[{"success":true},`, want: "not from a tracking server"},
	} {
		failing := true
		v := start(t, func(w http.ResponseWriter, _ []string) bool {
			if !failing {
				return false
			}
			w.Header().Set("Retry-After", c.after)
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.body)
			return true
		})
		s := open(t, config.Destination{URL: v.URL})
		b := batch(2, 2)
		rejects, err := s.Write(t.Context(), b)
		if err == nil || len(rejects) > 0 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, %v", name, rejects, err)
		}
		var busy *destination.BusyError
		if errors.As(err, &busy) != (c.busy > 0) || busy != nil && busy.After != c.busy {
			t.Errorf("%s: got %v, want to wait %v", name, err, c.busy)
		}
		failing = false
		if _, err := s.Write(t.Context(), b); err != nil || len(v.batches) != 1 || len(v.batches[0]) != 2 {
			t.Errorf("%s: the next attempt: %v, %v", name, v.batches, err)
		}
	}
}

// A gateway that refuses every request loses nothing, even if its answers look
// like those of a tracking server.
func TestRefusesAll(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusRequestEntityTooLarge, http.StatusBadRequest} {
		broken := true
		v := start(t, func(w http.ResponseWriter, _ []string) bool {
			if broken {
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"message":"Bad Request"}`)
			}
			return broken
		})
		s := open(t, config.Destination{URL: v.URL})
		b := batch(60, 7)
		if rejects, err := s.Write(t.Context(), b); err == nil || len(rejects) > 0 {
			t.Errorf("%d: got %d rejects, %v", status, len(rejects), err)
		}
		broken = false
		if rejects, err := s.Write(t.Context(), b); err != nil || len(rejects) > 0 {
			t.Errorf("%d: then got %v, %v", status, rejects, err)
		}
	}
}

// Parts of a value do not appear in a reason, either, and neither do longer
// words that contain a value.
func TestHiddenParts(t *testing.T) {
	t.Parallel()
	v := start(t, func(w http.ResponseWriter, _ []string) bool {
		_, _ = io.WriteString(w, `{"results":[{"success":false,"errors":["\"Jane Q. Pub...\" is too long: JANE@EXAMPLE.COM, 4711 in [jane, \"\u00fcber\"] at visit"]}]}`)
		return true
	})
	b := batch(1, 1)
	b.Events[0].Properties = []byte(`{"card":4711,"name":"Jane Q. Public","who":{"mail":"jane@example.com","list":["über"]}}`)
	rejects, err := open(t, config.Destination{URL: v.URL}).Write(t.Context(), b)
	if err != nil || len(rejects) != 1 {
		t.Fatalf("got %v, %v", rejects, err)
	}
	if got, want := rejects[0].Reason, `"… Q. …" is too long: …, … in […, "…"] at visit`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// An attempt continues where the one before it stopped.
func TestContinues(t *testing.T) {
	t.Parallel()
	calls := 0
	v := start(t, func(http.ResponseWriter, []string) bool {
		if calls++; calls == 2 {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	s := open(t, config.Destination{URL: v.URL})
	b := batch(120, 1)
	if _, err := s.Write(t.Context(), b); err == nil {
		t.Fatal("the answer was lost, but Write succeeds")
	}
	if _, err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, commands := range v.batches {
		sizes = append(sizes, len(commands))
	}
	if diff := cmp.Diff([]int{50, 50, 20}, sizes); diff != "" || !strings.Contains(v.batches[1][0], `{"n":50}`) {
		t.Errorf("got %v, %s", sizes, v.batches[1][0])
	}
}

// Properties that do not fit into a request are divided among several commands.
func TestManyProperties(t *testing.T) {
	t.Parallel()
	v := start(t, nil)
	want := map[string]string{}
	for i := range 100 {
		want[fmt.Sprintf("p%02d", i)] = strings.Repeat("x", 16_000)
	}
	c := holder(1)
	c.Properties, _ = json.Marshal(want)
	if _, err := open(t, config.Destination{URL: v.URL}).Write(t.Context(), &destination.Batch{Through: 1, Customers: []destination.Customer{*c}}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, commands := range v.batches {
		bytes := 0
		for _, text := range commands {
			var command struct {
				Data struct {
					IDs        map[string]any `json:"customer_ids"`
					Properties map[string]string
				}
			}
			if err := json.Unmarshal([]byte(text), &command); err != nil || command.Data.IDs["registered"] != "r1@example.com" {
				t.Errorf("%v: %.100s", err, text)
			}
			maps.Copy(got, command.Data.Properties)
			bytes += len(text)
		}
		if bytes > maxBody {
			t.Errorf("a request has %d bytes", bytes)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || len(v.batches) < 3 {
		t.Errorf("%d requests (-want +got):\n%.500s", len(v.batches), diff)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for name, c := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"nothing said":     {nil, 0},
		"plenty":           {map[string]string{"RateLimit": `"track";r=80;t=30`, "RateLimit-Policy": `"track";q=100;w=60`}, 0},
		"half":             {map[string]string{"RateLimit": `"track";r=50;t=30`, "RateLimit-Policy": `"track";q=100;w=60`}, 600 * time.Millisecond},
		"nothing left":     {map[string]string{"RateLimit": `"track";r=0;t=30`, "RateLimit-Policy": `"track";q=100;w=60`}, 30 * time.Second},
		"no quota":         {map[string]string{"RateLimit": `"track";r=10;t=30`}, 3 * time.Second},
		"the longest of 2": {map[string]string{"RateLimit": `"a";r=10;t=30, "b";r=1;t=5`}, 5 * time.Second},
		"long window":      {map[string]string{"RateLimit": `"a";r=0;t=86400`}, time.Minute},
		"old fields":       {map[string]string{"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000012"}, 12 * time.Second},
		"plenty, old":      {map[string]string{"X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "51", "X-RateLimit-Reset": "1800000012"}, 0},
		"past":             {map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000000"}, 0},
		"nonsense":         {map[string]string{"RateLimit": `x`, "X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "?"}, 0},
	} {
		a := &outbound.Answer{Header: http.Header{}}
		for name, value := range c.header {
			a.Header.Set(name, value)
		}
		if got := pause(a, now); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	v := start(t, func(w http.ResponseWriter, _ []string) bool {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"by":"time","rows":[{"start":1,"type":"visit","events":3},{"start":2,"type":"visit","events":4},`+
			`{"start":2,"type":"merge","events":9},{"start":2,"type":null,"events":1}]}`)
		return true
	})
	s := open(t, config.Destination{URL: v.URL, User: "u", Password: "p"})
	got, err := s.Count(t.Context(), "demo")
	if diff := cmp.Diff(Counts{map[string]uint64{"visit": 7, "": 1}}, got); diff != "" || err != nil {
		t.Errorf("counts (-want +got):\n%s%v", diff, err)
	}
	if want := "/api/projects/" + token + "/stats Basic dTpw"; v.requests[0] != want {
		t.Errorf("asked for %s, want %s", v.requests[0], want)
	}
	for status = range map[int]bool{404: true, 403: true, 429: true} {
		if _, err := s.Count(t.Context(), "demo"); err == nil {
			t.Errorf("%d: no error", status)
		}
	}
	if _, err := open(t, config.Destination{URL: v.URL}).Count(t.Context(), "demo"); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("without a user: got %v", err)
	}
}
