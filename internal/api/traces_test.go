package api

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"trackway"
	"trackway/internal/trace"
)

// collector is a collector of OpenTelemetry that keeps what it gets.
type collector struct {
	*httptest.Server

	mu    sync.Mutex
	raw   []byte
	spans []*otlp.Span
}

func newCollector(t testing.TB) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data otlp.TracesData
		if err = errors.Join(err, proto.Unmarshal(body, &data)); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.raw = append(c.raw, body...)
		for _, r := range data.GetResourceSpans() {
			for _, s := range r.GetScopeSpans() {
				c.spans = append(c.spans, s.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// traced has all requests of the fixture recorded. The function that it returns
// waits until the collector has all spans, and ends the recording.
func (f *fixture) traced(c *collector, sample float64) (end func()) {
	t := trace.New(f.Server.log, f.registry)
	t.Reload(trace.Settings{Endpoint: c.URL, Sample: sample, Version: "v1.2.3", Instance: "ts1.eu"})
	f.Server.traces = t
	return t.Close
}

// Each request leads to one span, and each write to one more. Nothing that a
// caller has sent is in any of them.
func TestTraces(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3tJane"
	c, f := newCollector(t), newFixture(t)
	end := f.traced(c, 1)
	event := `{"customer_ids":{"cookie":"` + secret + `"},"event_type":"` + secret + `","properties":{"` + secret + `":"` + secret + `"}}`
	send := func(method, path, body string) {
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
		r.RequestURI, r.Host, r.RemoteAddr = path, secret+".example.com", "192.0.2.77:4711"
		for _, name := range []string{"User-Agent", "Referer", "Cookie", "X-Request-Id", "Tracestate", "Baggage", "Origin", secret} {
			r.Header.Set(name, secret)
		}
		r.Header.Set("X-Forwarded-For", "203.0.113.99")
		r.Header.Set("Authorization", "Token "+publicToken)
		r.Header.Set("Traceparent", "00-0123456789abcdef0123456789abcdef-fedcba9876543210-01")
		f.Server.ServeHTTP(httptest.NewRecorder(), r)
	}
	const events, batch = trackBase + "customers/events", trackBase + "batch"
	send("POST", events+"?access_token="+secret, event)
	send("POST", batch, `{"commands":[{"name":"customers/events","data":`+event+`},{"name":"customers/events","data":{}}]}`)
	send("POST", "/track/v2/projects/"+secret+"/customers/events", event)
	send("POST", events, `{"`+secret)
	send("POST", dataBase+"customers/export-one", `{"customer_ids":{"cookie":"`+secret+`"}}`)
	send("GET", "/api/servers?"+secret, "")
	send("HEAD", "/api/servers", "")
	send("DELETE", events, "")
	send(secret, "/"+secret, "")
	f.ingest.err = errDisk
	send("POST", events, event)
	end()
	c.Close() // its handler has ended

	names := make(map[string]string)
	for _, s := range c.spans {
		names[string(s.GetSpanId())] = s.GetName()
	}
	var got []string
	for _, s := range c.spans {
		var numbers []any
		for _, a := range s.GetAttributes() {
			if key := a.GetKey(); key == "http.response.status_code" || strings.HasPrefix(key, "trackway.") {
				numbers = append(numbers, a.GetValue().GetIntValue())
			}
		}
		line := strings.TrimSuffix(s.GetName()+" "+fmt.Sprintln(numbers...), "\n")
		if p := s.GetParentSpanId(); len(p) > 0 {
			line = names[string(p)] + " > " + line
		}
		got = append(got, line)
	}
	const event1, all = "POST /track/v2/projects/{token}/customers/events", "POST /track/v2/projects/{token}/batch"
	want := []string{
		event1 + " > store commands 1 0", event1 + " 200",
		all + " > store commands 2 0", all + " 200",
		event1 + " 400",
		event1 + " > store commands 1 1", event1 + " 400",
		"POST /data/v2/projects/{token}/customers/export-one 403",
		"GET /api/servers 200", "HEAD /api/servers 200",
		"DELETE /track/v2/projects/{token}/customers/events 405", "HTTP / 404",
		event1 + " > store commands 1 0", event1 + " 500",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, personal := range []string{secret, strings.ToLower(secret), "192.0.2.77", "203.0.113.99", publicToken, projectToken, "jane"} {
		if bytes.Contains(c.raw, []byte(personal)) {
			t.Errorf("the collector got %q", personal)
		}
	}
	failed := c.spans[len(c.spans)-1]
	line, log := "trace_id="+hex.EncodeToString(failed.GetTraceId()), f.log.String()
	if !strings.Contains(log, line) || strings.Count(log, "trace_id=") != strings.Count(log, "request_id=") {
		t.Errorf("the log does not name the trace (%s):\n%s", line, log)
	}
}

// BenchmarkTraces takes in an event, and a batch of 50, through the handler.
func BenchmarkTraces(b *testing.B) {
	var batch strings.Builder
	for i := range trackway.MaxCommands {
		batch.WriteString(map[bool]string{true: `{"commands":[`, false: ","}[i == 0] + `{"name":"customers/events","data":` + goodEvent + `}`)
	}
	batch.WriteString("]}")
	c := newCollector(b)
	for _, body := range []struct{ name, path, text string }{{"event", "customers/events", goodEvent}, {"batch", "batch", batch.String()}} {
		for _, mode := range []struct {
			name   string
			sample float64
		}{{"none", 0}, {"off", 0}, {"sample=0.01", 0.01}, {"sample=1", 1}} {
			b.Run(body.name+"/"+mode.name, func(b *testing.B) {
				f := newFixture(b)
				f.Server.ingest = noIngest{}
				switch {
				case mode.sample > 0:
					defer f.traced(c, mode.sample)()
				case mode.name == "off":
					f.Server.traces = trace.New(f.Server.log, prometheus.NewRegistry())
				}
				r := httptest.NewRequest(http.MethodPost, trackBase+body.path, nil)
				r.Header.Set("Authorization", "Token "+publicToken)
				r.ContentLength = int64(len(body.text))
				w := &nowhere{header: make(http.Header)}
				b.ReportAllocs()
				for b.Loop() {
					r.Body = io.NopCloser(strings.NewReader(body.text))
					clear(w.header)
					f.Server.ServeHTTP(w, r)
				}
				if w.status != http.StatusOK {
					b.Errorf("got %d", w.status)
				}
			})
		}
	}
}

// noIngest stores nothing.
type noIngest struct{}

func (noIngest) Accept(*trackway.Project, trackway.Micros, []trackway.Command, []trackway.Result) error {
	return nil
}

// nowhere keeps the status of an answer.
type nowhere struct {
	header http.Header
	status int
}

func (w *nowhere) Header() http.Header         { return w.header }
func (w *nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w *nowhere) WriteHeader(status int)      { w.status = status }
