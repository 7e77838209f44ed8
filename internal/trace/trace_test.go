package trace

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"trackway/internal/allocs"
	"trackway/internal/clientip"
	"trackway/internal/sleep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector takes spans, or does with each export what answer says.
type collector struct {
	answer func(r *http.Request) *http.Response // nil: all is taken

	mu       sync.Mutex
	requests []*http.Request
	spans    []*otlp.Span
	resource []*common.KeyValue
}

// RoundTrip implements [http.RoundTripper].
func (c *collector) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.requests = append(c.requests, r)
	c.mu.Unlock()
	if c.answer != nil {
		if res := c.answer(r); res == nil {
			<-r.Context().Done() // it hangs
			return nil, r.Context().Err()
		} else if res.StatusCode == 0 {
			return nil, errors.New("connection refused")
		} else if res.StatusCode != http.StatusOK {
			return res, nil
		}
	}
	var data otlp.TracesData
	if err := proto.Unmarshal(body, &data); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range data.GetResourceSpans() {
		c.resource = r.GetResource().GetAttributes()
		for _, s := range r.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
	return status(http.StatusOK), nil
}

func status(code int) *http.Response {
	return &http.Response{StatusCode: code, Header: make(http.Header), Body: io.NopCloser(strings.NewReader(""))}
}

// fixture is a tracer with a collector in memory.
type fixture struct {
	*Tracer

	collector collector
	log       bytes.Buffer
	clients   *clientip.Resolver
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	clients, err := clientip.New(clientip.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}, Header: clientip.XForwardedFor})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clients: clients}
	f.Tracer = New(slog.New(slog.NewTextHandler(&f.log, nil)), prometheus.NewRegistry())
	return f
}

// on switches the traces on.
func (f *fixture) on(s Settings) {
	if s.Endpoint == "" {
		s.Endpoint = "http://collector.example.com/v1/traces"
	}
	e := newExporter(s, f.Tracer.log, &f.metrics)
	e.client.Transport = &f.collector
	f.start(e)
	f.now.Store(e)
}

// wait waits for some time in a bubble of synctest.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	if err := sleep.For(t.Context(), d); err != nil {
		t.Error(err)
	}
	synctest.Wait()
}

// counts returns how many spans had each outcome.
func (f *fixture) counts() (exported, dropped, failed float64) {
	return testutil.ToFloat64(f.metrics.exported), testutil.ToFloat64(f.metrics.dropped), testutil.ToFloat64(f.metrics.failed)
}

func request(fields ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/track/x?access_token=s3cr3t", nil)
	r.RemoteAddr = "198.51.100.7:1234"
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return r
}

func (f *fixture) request(fields ...string) *Span {
	return f.Request(request(fields...), "/track/{token}", time.Now(), f.clients)
}

const (
	callersTrace = "0123456789abcdef0123456789abcdef"
	callersSpan  = "fedcba9876543210"
	sampled      = "00-" + callersTrace + "-" + callersSpan + "-01"
	unsampled    = "00-" + callersTrace + "-" + callersSpan + "-00"
)

func TestParentOf(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		sampled:   "sampled",
		unsampled: "not sampled",
		"00-" + callersTrace + "-" + callersSpan + "-ff": "sampled",
		"cc-" + callersTrace + "-" + callersSpan + "-01": "sampled",
		sampled + "-": "", sampled + "-x": "", sampled + " ": "", " " + sampled: "",
		"cc" + sampled[2:] + "-later": "sampled",
		"cc" + sampled[2:] + "later":  "",
		"ff" + sampled[2:]:            "",
		"0g" + sampled[2:]:            "",
		strings.ToUpper(sampled):      "",
		strings.Replace(sampled, callersTrace, strings.Repeat("0", 32), 1): "",
		strings.Replace(sampled, callersSpan, strings.Repeat("0", 16), 1):  "",
		strings.ReplaceAll(sampled, "-", "_"):                              "",
		sampled[:54]:                                                       "", "": "", "00": "", strings.Repeat("-", 1000): "",
	} {
		p := parentOf(http.Header{"Traceparent": {header}})
		got := ""
		if p.valid() {
			got = map[bool]string{true: "sampled", false: "not sampled"}[p.sampled]
			if hex.EncodeToString(p.trace[:]) != callersTrace || hex.EncodeToString(p.span[:]) != callersSpan {
				t.Errorf("%q: got the ids %x and %x", header, p.trace, p.span)
			}
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
	if p := parentOf(http.Header{"Traceparent": {sampled, sampled}}); p.valid() {
		t.Error("two header fields: got a parent, want none")
	}
}

func FuzzParentOf(f *testing.F) {
	f.Add(sampled)
	f.Add("cc" + sampled[2:] + "-later")
	f.Fuzz(func(t *testing.T, header string) {
		p := parentOf(http.Header{"Traceparent": {header}})
		if !p.valid() {
			if p != (parent{}) {
				t.Errorf("%q: got a part of a parent", header)
			}
			return
		}
		if len(header) < len(sampled) || header[3:35] != hex.EncodeToString(p.trace[:]) || header[36:52] != hex.EncodeToString(p.span[:]) {
			t.Errorf("%q: got %x, %x", header, p.trace, p.span)
		}
	})
}

// shown is a span as a collector shows it.
type shown struct {
	Name, Kind, Attributes, Status string
	Parent, Link                   string // trace/span, of others than our spans
	Child                          string // the name of the parent, if that is one of our spans
	Flags, LinkFlags               uint32
}

func show(spans []*otlp.Span) (all []shown) {
	names := make(map[string]string)
	for _, s := range spans {
		names[string(s.GetSpanId())] = s.GetName()
	}
	for _, s := range spans {
		x := shown{Name: s.GetName(), Kind: s.GetKind().String(), Flags: s.GetFlags()}
		if s.GetStatus() != nil {
			x.Status = s.GetStatus().GetCode().String() + s.GetStatus().GetMessage()
		}
		for _, a := range s.GetAttributes() {
			x.Attributes += fmt.Sprintf("%s=%s%d ", a.GetKey(), a.GetValue().GetStringValue(), a.GetValue().GetIntValue())
		}
		if p := s.GetParentSpanId(); len(p) > 0 {
			if x.Child = names[string(p)]; x.Child == "" {
				x.Parent = fmt.Sprintf("%x/%x", s.GetTraceId(), p)
			}
		}
		for _, l := range s.GetLinks() {
			x.Link, x.LinkFlags = fmt.Sprintf("%x/%x", l.GetTraceId(), l.GetSpanId()), l.GetFlags()
		}
		all = append(all, x)
	}
	return all
}

// Spans arrive as they were recorded. A followed caller is the parent, and all
// others are only linked to.
func TestSpans(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.on(Settings{
		Sample: 1, Follow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Version: "v1.2.3", Instance: "ts1",
		Headers: map[string]string{"authorization": "Bearer s3cr3t"},
	})
	s := f.request()
	child := s.Child("store commands")
	child.Note(Number("trackway.commands", 2))
	child.End(false)
	s.Answered(http.StatusOK, false)
	f.request("Traceparent", sampled).Answered(http.StatusInternalServerError, false)
	// No proxy of ours has sent this one.
	f.request("Traceparent", sampled, "X-Forwarded-For", "203.0.113.9").Answered(http.StatusOK, true)
	f.request("Traceparent", strings.TrimSuffix(sampled, "1")+"0").Answered(http.StatusOK, false)
	followed := request("Traceparent", sampled, "X-Forwarded-For", "203.0.113.9")
	followed.RemoteAddr = "192.0.2.1:80"
	followed.Method = "jane@example.com"
	f.Request(followed, "/", time.Now(), f.clients).Answered(http.StatusNotFound, false)
	f.Task("write file", Text("trackway.destination.name", "out")).End(true)
	f.Close()
	const usual = "http.request.method=POST0 http.route=/track/{token}0 url.scheme=http0 http.response.status_code="
	link := callersTrace + "/" + callersSpan
	want := []shown{
		{Name: "store commands", Kind: "SPAN_KIND_INTERNAL", Attributes: "trackway.commands=2 ", Child: "POST /track/{token}", Flags: 0x101},
		{Name: "POST /track/{token}", Kind: "SPAN_KIND_SERVER", Attributes: usual + "200 ", Flags: 0x101},
		{Name: "POST /track/{token}", Kind: "SPAN_KIND_SERVER", Attributes: usual + "500 error.type=5000 ", Status: "STATUS_CODE_ERROR", Link: link, Flags: 0x101, LinkFlags: 0x301},
		{Name: "POST /track/{token}", Kind: "SPAN_KIND_SERVER", Attributes: usual + "200 error.type=_OTHER0 ", Status: "STATUS_CODE_ERROR", Link: link, Flags: 0x101, LinkFlags: 0x301},
		{Name: "POST /track/{token}", Kind: "SPAN_KIND_SERVER", Attributes: usual + "200 ", Link: link, Flags: 0x101, LinkFlags: 0x300},
		{Name: "HTTP /", Kind: "SPAN_KIND_SERVER", Attributes: "http.request.method=_OTHER0 http.route=/0 url.scheme=http0 http.response.status_code=404 ", Parent: link, Flags: 0x301},
		{Name: "write file", Kind: "SPAN_KIND_CLIENT", Attributes: "trackway.destination.name=out0 error.type=_OTHER0 ", Status: "STATUS_CODE_ERROR", Flags: 0x101},
	}
	if diff := cmp.Diff(want, show(f.collector.spans)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	if exported, dropped, failed := f.counts(); exported != 7 || dropped != 0 || failed != 0 {
		t.Errorf("counted %v, %v, %v", exported, dropped, failed)
	}
	r := f.collector.requests[0]
	if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("Authorization") != "Bearer s3cr3t" {
		t.Errorf("the collector got %s, %v", r.Method, r.Header)
	}
	resource := ""
	for _, a := range f.collector.resource {
		resource += a.GetKey() + "=" + a.GetValue().GetStringValue() + " "
	}
	if resource != "service.name=trackway service.version=v1.2.3 service.instance.id=ts1 " {
		t.Errorf("the resource is %s", resource)
	}
	for _, s := range f.collector.spans {
		if len(s.GetTraceId()) != 16 || len(s.GetSpanId()) != 8 || s.GetStartTimeUnixNano() > s.GetEndTimeUnixNano() {
			t.Errorf("%s: got %v", s.GetName(), s)
		}
	}
}

// A stranger cannot have requests recorded, nor keep them from being recorded.
// A followed caller can.
func TestSample(t *testing.T) {
	t.Parallel()
	const requests = 4000
	follow := []netip.Prefix{netip.MustParsePrefix("198.51.100.7/32")}
	for name, c := range map[string]struct {
		sample   float64
		follow   []netip.Prefix
		header   string
		from, to int
	}{
		"none":                       {sample: 0, header: sampled},
		"all":                        {sample: 1, header: unsampled, from: requests, to: requests},
		"a quarter":                  {sample: 0.25, header: sampled, from: 800, to: 1200},
		"a quarter, without header":  {sample: 0.25, follow: follow, from: 800, to: 1200},
		"a quarter, bad header":      {sample: 0.25, follow: follow, header: "00-x", from: 800, to: 1200},
		"a quarter, others followed": {sample: 0.25, follow: []netip.Prefix{netip.MustParsePrefix("::/0")}, header: sampled, from: 800, to: 1200},
		"followed":                   {sample: 0, follow: follow, header: sampled, from: requests, to: requests},
		"followed, not sampled":      {sample: 1, follow: follow, header: unsampled},
	} {
		f := newFixture(t)
		f.on(Settings{Sample: c.sample, Follow: c.follow})
		recorded := 0
		for range requests {
			if f.request("Traceparent", c.header) != nil {
				recorded++
			}
		}
		f.Close()
		if recorded < c.from || recorded > c.to {
			t.Errorf("%s: recorded %d of %d, want %d to %d", name, recorded, requests, c.from, c.to)
		}
	}
}

// Without traces, nothing is allocated and nothing runs. The same holds for a
// request that the sample leaves out.
func TestOffCostsNothing(t *testing.T) { // not parallel: it counts allocations
	f := newFixture(t)
	r, now := request("Traceparent", sampled), time.Now()
	once := func(tr *Tracer) func() {
		return func() {
			s := tr.Request(r, "/track/{token}", now, f.clients)
			c := s.Child("store commands")
			c.Note(Number("trackway.commands", 2))
			c.End(false)
			s.Answered(http.StatusOK, false)
		}
	}
	before := runtime.NumGoroutine()
	for name, tr := range map[string]*Tracer{"none": nil, "off": f.Tracer} {
		if n := allocs.PerRun(100, once(tr)); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines run, %d before", n, before)
	}
	f.on(Settings{Sample: 0, Follow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if n := allocs.PerRun(100, once(f.Tracer)); n != 0 {
		t.Errorf("left out by the sample: %v allocations", n)
	}
	f.Close()
}

// A logger of a recorded request names its trace.
func TestLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.on(Settings{Sample: 1})
	s := f.request()
	s.Log(f.Tracer.log).Error("x")
	want := fmt.Sprintf("trace_id=%x", s.trace)
	s.Answered(http.StatusOK, false)
	f.Close()
	if got := f.log.String(); !strings.Contains(got, want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if none := (*Span)(nil); none.Log(f.Tracer.log) != f.Tracer.log {
		t.Error("without a span, got another logger")
	}
}

func BenchmarkRequest(b *testing.B) {
	f := newFixture(b)
	r := request("Traceparent", sampled)
	run := func(name string) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f.Request(r, "/track/{token}", time.Time{}, f.clients).Answered(http.StatusOK, false)
			}
		})
	}
	run("off")
	for name, sample := range map[string]float64{"sample=0.01": 0.01, "sample=1": 1} {
		f.on(Settings{Sample: sample})
		run(name)
		f.Close()
	}
}
