package trace

import (
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
)

// The kinds of spans.
const (
	internal = otlp.Span_SPAN_KIND_INTERNAL
	server   = otlp.Span_SPAN_KIND_SERVER
	client   = otlp.Span_SPAN_KIND_CLIENT
)

// other is the value of the semantic conventions for everything that has none.
const other = "_OTHER"

// usual is how many attributes a span of a request has.
const usual = 5

// Attribute is a fact about a span.
type Attribute struct {
	key, text string
	number    int64 // if text is empty
}

func text(key, value string) Attribute { return Attribute{key: key, text: value} }

// Text returns an attribute with a text of the program or the configuration,
// never one of a caller.
func Text(key, value string) Attribute { return text(key, value) }

// Number returns an attribute with a number.
func Number(key string, value int) Attribute { return Attribute{key: key, number: int64(value)} }

// Span is a piece of work that is recorded. One goroutine may use it at a time,
// and nobody after its end. All methods may be called on nil.
type Span struct {
	tracer     *Tracer
	kind       otlp.Span_SpanKind
	name       string
	trace      [16]byte
	own        [8]byte
	parent     [8]byte // zero: none
	caller     parent  // what the caller's header says
	linked     bool    // to the caller, who is no parent
	start, end time.Time
	attributes []Attribute
	fault      string // what went wrong; empty: nothing
}

// Child begins a span within this one.
func (s *Span) Child(name string) *Span {
	if s == nil {
		return nil
	}
	return &Span{tracer: s.tracer, kind: internal, name: name, trace: s.trace, own: randomID(), parent: s.own, start: time.Now()}
}

// Note adds an attribute.
func (s *Span) Note(a Attribute) {
	if s != nil {
		s.attributes = append(s.attributes, a)
	}
}

// End ends the span. If failed is true, the span says so, but not why: errors
// may contain what a caller has sent.
func (s *Span) End(failed bool) {
	if s == nil {
		return
	}
	if failed {
		s.fault = other
	}
	s.finish()
}

// Answered ends the span of a request with the status of its answer. broken
// means that no answer was sent, or not the whole of it.
func (s *Span) Answered(status int, broken bool) {
	if s == nil {
		return
	}
	if status != 0 {
		s.Note(Number("http.response.status_code", status))
	}
	switch {
	case broken || status == 0:
		s.fault = other
	case status >= http.StatusInternalServerError:
		s.fault = strconv.Itoa(status)
	}
	s.finish()
}

func (s *Span) finish() {
	s.end = time.Now()
	s.tracer.keep(s)
}

// Log returns a logger whose lines name the trace. Without a span, it returns
// the given one.
func (s *Span) Log(log *slog.Logger) *slog.Logger {
	if s == nil {
		return log
	}
	return log.With("trace_id", hex.EncodeToString(s.trace[:]))
}

// randomTrace returns an id for a trace. It is not zero.
func randomTrace() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64())   //nolint:gosec // it only has to be unique
	binary.BigEndian.PutUint64(id[8:], random64bits()) // its half alone may serve as an id elsewhere
	return id
}

func randomID() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], random64bits())
	return id
}

func random64bits() uint64 {
	return max(rand.Uint64(), 1) //nolint:gosec // it only has to be unique
}
