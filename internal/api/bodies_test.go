package api

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/ingest"
	"trackway/internal/live"
	"trackway/internal/query"
)

// said is an event of the tests below. All its texts follow from its name, so
// that a text of another event is recognized wherever it turns up.
type said struct {
	name    string // also that of its customer
	refused bool
}

func (s said) typ() string {
	sender, _, _ := strings.Cut(s.name, ".")
	return "type-" + sender
}

// pad is a long text.
func (s said) pad() string { return strings.Repeat(s.name+" ", 450/(len(s.name)+1)) }

// time returns one of two texts.
func (s said) time(good, bad string) string {
	if s.refused {
		return bad
	}
	return good
}

// speaks is how a dialect sends events.
type speaks struct {
	path   string
	id     string // the identifier that names the customer
	fields []string
	begin  string
	one    func(said) string
	end    string
}

const saidProperties = `{"of":%q,"pad":%q}`

// dialectsOfBodies returns a batch of each dialect. Some leave identifiers
// out.
func dialectsOfBodies() map[string]speaks {
	token := []string{"Authorization", "Token " + publicToken}
	command := func(s said) string {
		return fmt.Sprintf(`{"name":"customers/events","command_id":%q,"data":{"customer_ids":{"cookie":%q,"registered":"-"},"event_type":%q,"timestamp":%s,"properties":`+saidProperties+`}}`,
			s.name, s.name, s.typ(), s.time("1", `"soon"`), s.name, s.pad())
	}
	record := func(s said) string {
		attribute := func(name, value string) string {
			return fmt.Sprintf(`{"key":%q,"value":{"stringValue":%q}}`, name, value)
		}
		return fmt.Sprintf(`{"eventName":%q,"timeUnixNano":%s,"attributes":[%s,%s,%s]}`, s.typ(), s.time(`"1000000000"`, `"soon"`),
			attribute("device.id", s.name), attribute("of", s.name), attribute("pad", s.pad()))
	}
	return map[string]speaks{
		"tracking": {trackBase + "batch", "cookie", token, `{"commands":[`, command, `]}`},
		"segment": {"/v1/batch", "cookie", nil, `{"batch":[`, func(s said) string {
			return fmt.Sprintf(`{"type":"track","anonymousId":%q,"event":%q,"messageId":%q,"timestamp":%s,"properties":`+saidProperties+`}`,
				s.name, s.typ(), s.name, s.time(`"1970-01-01T00:00:01Z"`, `"soon"`), s.name, s.pad())
		}, `],"writeKey":"` + publicToken + `"}`},
		"posthog": {"/batch", "registered", nil, `{"api_key":"` + publicToken + `","batch":[`, func(s said) string {
			return fmt.Sprintf(`{"distinct_id":%q,"event":%q,"timestamp":%s,"properties":`+saidProperties+`}`,
				s.name, s.typ(), s.time(`"1970-01-01T00:00:01Z"`, `"soon"`), s.name, s.pad())
		}, `]}`},
		"otlp": {"/v1/logs", "cookie", token, `{"resourceLogs":[{"scopeLogs":[{"logRecords":[`, record, `]}]}]}`},
	}
}

// encodings are how a body may be sent.
func encodings(t *testing.T) map[string]func(body []byte) (sent io.Reader, coding string) {
	t.Helper()
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func([]byte) (io.Reader, string){
		"plain":   func(body []byte) (io.Reader, string) { return bytes.NewReader(body), "" },
		"chunked": func(body []byte) (io.Reader, string) { return io.MultiReader(bytes.NewReader(body)), "" },
		"zstd":    func(body []byte) (io.Reader, string) { return bytes.NewReader(encoder.EncodeAll(body, nil)), "zstd" },
		"gzip": func(body []byte) (io.Reader, string) {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(body) // into memory
			_ = z.Close()
			return &b, "gzip"
		},
	}
}

// TestBodiesDoNotMix: a body gives its memory to later ones when it is
// answered. Clients send large batches of each dialect at the same time, each
// twice, with commands that are refused and identifiers that are left out; and
// merge their customers. The store, the answers and the watchers have only
// what was sent. A text that still refers to a body is found overwritten: see
// package body.
func TestBodiesDoNotMix(t *testing.T) {
	t.Parallel()
	const batches = 4
	r := newReading(t)
	reg := prometheus.NewRegistry()
	r.Server.ingest = ingest.New(r.store, nil, reg)
	hub := live.New(func(err error) { t.Error(err) }, r.store)
	r.observer.live = hub
	var watching, sending sync.WaitGroup
	defer watching.Wait()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	watching.Go(func() { _ = hub.Run(ctx) })
	watching.Go(func() { watchSaid(t, hub) })
	server := httptest.NewServer(r.Server)
	defer server.Close()
	events := map[string]speaks{} // that are stored, by name
	for dialect, how := range dialectsOfBodies() {
		for encoding, encode := range encodings(t) {
			sender := dialect + "-" + encoding
			for batch := range batches {
				for _, s := range saidIn(sender, batch) {
					if !s.refused {
						events[s.name] = how
					}
				}
			}
			sending.Go(func() {
				for batch := range batches {
					sendSaid(t, server, how, saidIn(sender, batch), encode)
				}
			})
		}
	}
	sending.Wait()
	r.wantSaid(events)
	left, _ := hub.LeftOut(0, trackway.MicrosOf(time.Now()), 0)
	for _, l := range left {
		if l.What != (trackway.Identifier{Name: "registered", Value: "-", Hard: true}) || !strings.HasPrefix(l.Type, "type-tracking-") {
			t.Errorf("left out: %+v", l)
		}
	}
	if n, err := testutil.GatherAndCount(reg, "trackway_identifiers_left_out_total"); err != nil || n != 1 || len(left) != 1 {
		t.Errorf("%d kinds of identifiers were left out, %d are counted, %v", len(left), n, err)
	}
	if w := r.post(dataBase+"customers/export", strings.NewReader(`{"format":"csv"}`), "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("id:"+privateSecret))); strings.Count(w.Body.String(), "\n") <= len(events)/2 {
		t.Errorf("the export is %d, %.200s", w.Code, w.Body)
	}
}

// saidIn returns the events of a batch.
func saidIn(sender string, batch int) []said {
	all := make([]said, 30+batch*7%20)
	for i := range all {
		all[i] = said{fmt.Sprintf("%s.%d.%d", sender, batch, i), i%9 == 8}
	}
	return all
}

// sendSaid sends events twice, so that the second ones are duplicates. Then it
// merges the first two customers.
func sendSaid(t *testing.T, server *httptest.Server, how speaks, events []said, encode func([]byte) (io.Reader, string)) {
	t.Helper()
	var parts []string
	for _, s := range events {
		parts = append(parts, how.one(s))
	}
	body := []byte(how.begin + strings.Join(parts, ",") + how.end)
	if len(body) < 16<<10 || len(body) > 64<<10 {
		t.Errorf("%s: the body has %d bytes", how.path, len(body))
	}
	for range 2 {
		sent, coding := encode(slices.Clone(body))
		answer := sendTo(t, server, how, sent, coding)
		for _, s := range events {
			if how.path == trackBase+"batch" && !strings.Contains(answer, `"command_id":"`+s.name+`"`) {
				t.Errorf("%s is missing in %s", s.name, answer)
			}
		}
	}
	if how.id == "cookie" { // devices can be merged
		a, b := events[0], events[1]
		sendTo(t, server, speaks{path: trackBase + "customers", fields: []string{"Authorization", "Token " + publicToken}},
			strings.NewReader(fmt.Sprintf(`{"customer_ids":{"cookie":[%q,%q],"registered":%q},"properties":{"plan":%q}}%s`,
				a.name, b.name, "user-"+a.name, a.name, strings.Repeat(" ", 16<<10))), "")
	}
}

func sendTo(t *testing.T, server *httptest.Server, how speaks, body io.Reader, coding string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+how.path, body)
	if err != nil {
		t.Error(err)
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	if coding != "" {
		req.Header.Set("Content-Encoding", coding)
	}
	for i := 0; i < len(how.fields); i += 2 {
		req.Header.Set(how.fields[i], how.fields[i+1])
	}
	res, err := server.Client().Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%s: got %d %s, %v", how.path, res.StatusCode, answer, err)
	}
	return string(answer)
}

// wantEvent checks that all texts of an event are its own.
func wantEvent(t testing.TB, typ string, properties []byte) (name string) {
	t.Helper()
	var p struct{ Of, Pad string }
	err := json.Unmarshal(properties, &p)
	if s := (said{name: p.Of}); err != nil || !strings.Contains(p.Of, ".") || s.typ() != typ || s.pad() != p.Pad {
		t.Errorf("there is an event %s %s", typ, properties)
	}
	return p.Of
}

// wantSaid checks that the store has these events, once and of their
// customers, and no others but merges.
func (r *stored) wantSaid(events map[string]speaks) {
	r.t.Helper()
	snapshot := r.store.Snapshot()
	defer func() { _ = snapshot.Close() }()
	found, types := map[string]int{}, map[string]uint64{}
	err := snapshot.Log(query.LogRange{}, func(e *trackway.Event) bool {
		types[e.Type]++
		if e.Type == trackway.MergeType {
			wantMerge(r.t, e.Properties)
			return true
		}
		name := wantEvent(r.t, e.Type, e.Properties)
		found[name]++
		of, err := snapshot.Survivor(1, e.Customer)
		customer, err2 := snapshot.Find(1, trackway.Identifier{Name: events[name].id, Value: name, Hard: events[name].id == "registered"})
		if err != nil || err2 != nil || of != customer {
			r.t.Errorf("%s: it is of customer %d, %v, and its identifier of %d, %v", name, of, err, customer, err2)
		}
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for name := range events {
		if found[name] != 1 {
			r.t.Errorf("%s is there %d times", name, found[name])
		}
	}
	err = snapshot.Counts(1, query.CountRange{By: query.ByTime}, func(c query.Count) bool {
		types[c.Type] -= c.Events
		return true
	})
	for typ, n := range types {
		if n != 0 || err != nil {
			r.t.Errorf("%q is not counted as often as it is there, %v", typ, err)
		}
	}
	if len(found) != len(events) {
		r.t.Errorf("there are %d events, want %d", len(found), len(events))
	}
}

// wantMerge checks that a merge names customers of one batch only.
func wantMerge(t testing.TB, properties []byte) {
	t.Helper()
	batch := ""
	for _, list := range canonjson.SplitObject(properties) {
		for id := range canonjson.IDsIn(list.Value) {
			of := strings.TrimPrefix(id.Value[:max(0, strings.LastIndexByte(id.Value, '.'))], "user-")
			if batch = cmp.Or(batch, of); of != batch {
				t.Errorf("there is a merge %s", properties)
			}
		}
	}
	if batch == "" {
		t.Errorf("there is a merge of nobody: %s", properties)
	}
}

// watchSaid reads what watchers see, until the hub ends.
func watchSaid(t *testing.T, hub *live.Hub) {
	t.Helper()
	w, err := hub.Watch(live.Filter{Events: true, Rejected: true}, nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer w.Close()
	for range w.Ready() {
		items, _, err := w.Take(100)
		if err != nil {
			return // the test is over
		}
		for _, it := range items {
			switch {
			case it.Event != nil && it.Event.Type != trackway.MergeType:
				wantEvent(t, it.Event.Type, it.Event.Properties)
			case it.Rejection != nil:
				b := it.Rejection
				if len(b.IDs) == 0 || (said{name: b.IDs[0].Value}).typ() != b.Type || !strings.Contains(strings.ToLower(b.Reason), "time") {
					t.Errorf("watchers were shown %+v", b)
				}
			}
		}
	}
}

// keeping is an Ingester that fails, and keeps the commands.
type keeping struct {
	how  string
	kept []string // parts of bodies
	was  []string // their copies
}

// Accept implements [Ingester].
func (k *keeping) Accept(_ *trackway.Project, _ trackway.Micros, cmds []trackway.Command, _ []trackway.Result) error {
	for i := range cmds {
		for _, p := range cmds[i].Properties {
			k.kept = append(k.kept, p.Name, unsafe.String(&p.Value[0], len(p.Value)))
		}
	}
	for _, text := range k.kept {
		k.was = append(k.was, strings.Clone(text))
	}
	if k.how == "panic" {
		panic(http.ErrAbortHandler)
	}
	return errDisk
}

// holding is a server that holds a project, and reads what is passed on to it
// only after it has failed to answer.
type holding struct{ kept chan *http.Request }

// RoundTrip implements [http.RoundTripper].
func (h holding) RoundTrip(r *http.Request) (*http.Response, error) {
	h.kept <- r
	return nil, errDisk
}

// TestFailedBodiesAreLeft: after an error or a panic, and if a call was passed
// on, somebody may still use a part of the body. No later body gets its
// memory.
func TestFailedBodiesAreLeft(t *testing.T) {
	t.Parallel()
	how := dialectsOfBodies()["tracking"]
	var parts []string
	for _, s := range saidIn("lost-body", 0) {
		parts = append(parts, how.one(said{s.name, false}))
	}
	body := how.begin + strings.Join(parts, ",") + how.end
	send := func(s *Server) (status int) {
		req := httptest.NewRequest(http.MethodPost, how.path, strings.NewReader(body))
		req.Header.Set("Authorization", how.fields[1])
		w := httptest.NewRecorder()
		defer func() {
			if bug := recover(); bug != nil {
				status = http.StatusInternalServerError
			}
		}()
		s.ServeHTTP(w, req)
		return w.Code
	}
	others := newFixture(t)
	others.Server.ingest = discard{}
	more := func() {
		for range 60 {
			if status := send(others.Server); status != http.StatusOK {
				t.Fatal(status)
			}
		}
	}
	for _, way := range []string{"error", "panic"} {
		f := newFixture(t)
		k := &keeping{how: way}
		f.Server.ingest = k
		if status := send(f.Server); status != http.StatusInternalServerError {
			t.Errorf("%s: got %d", way, status)
		}
		if more(); len(k.kept) == 0 || !slices.Equal(k.kept, k.was) {
			t.Errorf("%s: what was kept of the body has become %.100q", way, k.kept)
		}
	}
	to := holding{make(chan *http.Request, 1)}
	if status := send(elsewhere(t, to).Server); status != http.StatusServiceUnavailable {
		t.Errorf("passed on: got %d", status)
	}
	more()
	if got, err := io.ReadAll((<-to.kept).Body); string(got) != body || err != nil {
		t.Errorf("what was passed on has become %.100q, %v", got, err)
	}
}

// BenchmarkBodies measures the memory of a whole call with a batch, except for
// the network and the store. Most of it was once the body.
func BenchmarkBodies(b *testing.B) {
	f := newFixture(b)
	f.Server.ingest = discard{}
	for _, n := range []int{1, 10, 50} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			event := fmt.Sprintf(`{"name":"customers/events","data":{"customer_ids":{"cookie":"c"},"event_type":"e","timestamp":1,"properties":{"pad":%q}}}`, strings.Repeat("x", 300))
			text := `{"commands":[` + event + strings.Repeat(","+event, n-1) + `]}`
			r := httptest.NewRequest(http.MethodPost, trackBase+"batch", nil)
			r.Header.Set("Authorization", "Token "+publicToken)
			body := strings.NewReader("")
			r.Body, r.ContentLength = io.NopCloser(body), int64(len(text))
			w := discardWriter{}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(text)
				clear(w)
				f.Server.ServeHTTP(w, r)
			}
		})
	}
}
