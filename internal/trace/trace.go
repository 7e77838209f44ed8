// Package trace records what a sample of the requests spends its time on, and
// exports it to a collector of OpenTelemetry, with OTLP over HTTP. A span is
// recorded at the edges only: where a request comes in, where it waits for the
// log, and where the server calls others.
//
// A nil [Tracer] and a nil [Span] are valid and do nothing, so code that is
// traced needs no conditions. Without traces, a request costs the look at one
// pointer. A request that the sample leaves out costs one random number more.
//
// Spans hold no personal data: all texts in them come from this program, from
// its routes or from the configuration. Only the ids in a caller's traceparent
// are the caller's own.
package trace

import (
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"trackway/internal/clientip"
)

// Settings say which spans are recorded, and where they go.
type Settings struct {
	Endpoint string            // URL that takes spans; empty: no traces
	Headers  map[string]string // of each export; may hold secrets
	Sample   float64           // share of the requests, from 0 to 1
	Follow   []netip.Prefix    // callers whose own decision counts instead

	Version  string // of the program
	Instance string // name of the server
}

// Tracer records spans. It is safe for concurrent use.
type Tracer struct {
	now     atomic.Pointer[exporter] // nil: off
	log     *slog.Logger
	metrics metrics

	mu      sync.Mutex     // held by changes of now
	running sync.WaitGroup // exporters
}

// New returns a tracer that is off.
func New(log *slog.Logger, reg prometheus.Registerer) *Tracer {
	return &Tracer{log: log, metrics: newMetrics(reg)}
}

// Reload puts settings in force. Spans of running requests go to the new
// collector. The queue for the old one is still sent, in the background.
func (t *Tracer) Reload(s Settings) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.now.Load()
	if old != nil && reflect.DeepEqual(old.Settings, s) {
		return
	}
	var next *exporter
	if s.Endpoint != "" {
		next = newExporter(s, t.log, &t.metrics)
		t.start(next)
	}
	t.now.Store(next)
	if old != nil {
		old.stop()
	}
}

// Close sends what is queued, for at most [flushTime], and ends the export.
func (t *Tracer) Close() {
	t.Reload(Settings{})
	t.running.Wait()
}

// Request begins the span of a request that came at a time, for a route of the
// table. It returns nil unless the request is recorded.
func (t *Tracer) Request(r *http.Request, route string, at time.Time, clients *clientip.Resolver) *Span {
	if t == nil {
		return nil
	}
	e := t.now.Load()
	if e == nil {
		return nil
	}
	caller, followed, chosen := e.choose(r, clients)
	if !chosen {
		return nil
	}
	method := methodOf(r)
	name := method
	if name == other {
		name = "HTTP"
	}
	s := &Span{tracer: t, kind: server, name: name + " " + route, start: at, caller: caller, own: randomID(), attributes: make([]Attribute, 0, usual)}
	if followed {
		s.trace, s.parent = caller.trace, caller.span
	} else {
		s.trace, s.linked = randomTrace(), caller.valid()
	}
	s.Note(text("http.request.method", method))
	s.Note(text("http.route", route))
	s.Note(text("url.scheme", scheme(r)))
	return s
}

// choose decides whether a request is recorded. Strangers cannot influence
// that: if their own decision counted, each of them could have all requests
// recorded.
func (e *exporter) choose(r *http.Request, clients *clientip.Resolver) (caller parent, followed, chosen bool) {
	if len(e.Follow) == 0 && !e.draw() {
		return caller, false, false
	}
	caller = parentOf(r.Header)
	if len(e.Follow) == 0 {
		return caller, false, true
	}
	if caller.valid() {
		addr, _ := clients.Addr(r.RemoteAddr, r.Header)
		if slices.ContainsFunc(e.Follow, func(p netip.Prefix) bool { return p.Contains(addr) }) {
			return caller, true, caller.sampled
		}
	}
	return caller, false, e.draw()
}

// draw reports whether a request is in the sample.
func (e *exporter) draw() bool {
	return rand.Float64() < e.Sample //nolint:gosec // it only has to be fair
}

// Task begins the span of work that no request waits for: a call of a partner.
// It returns nil unless the call is recorded. name must not depend on data.
func (t *Tracer) Task(name string, attributes ...Attribute) *Span {
	if t == nil {
		return nil
	}
	e := t.now.Load()
	if e == nil || !e.draw() {
		return nil
	}
	return &Span{tracer: t, kind: client, name: name, start: time.Now(), trace: randomTrace(), own: randomID(), attributes: attributes}
}

// scheme returns whether the connection to this server is secure. It does not
// consider the words of a proxy about another connection.
func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// methodOf returns the method of a request, or _OTHER if it is not one of the
// usual ones: it could be any text.
func methodOf(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	}
	return other
}
