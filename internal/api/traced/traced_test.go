package traced

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"trackway"
	"trackway/internal/trace"
)

// fake is what is waited for.
type fake struct{ err error }

func (f fake) Accept(_ *trackway.Project, _ trackway.Micros, _ []trackway.Command, results []trackway.Result) error {
	results[0].Err = &trackway.Error{}
	return f.err
}

func (fake) Position() string { return "here" }

func (fake) Current() bool { return true }

func (fake) Leader() http.RoundTripper { return nil }

func (f fake) Reach(context.Context, string, bool) error { return f.err }

// Each wait is recorded with its outcome, and has the same result as without.
func TestWaits(t *testing.T) {
	t.Parallel()
	var spans []*otlp.Span
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var data otlp.TracesData
		if err = errors.Join(err, proto.Unmarshal(body, &data)); err != nil {
			t.Error(err)
			return
		}
		spans = append(spans, data.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()...)
	}))
	defer collector.Close()
	tracer := trace.New(slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	tracer.Reload(trace.Settings{Endpoint: collector.URL, Sample: 1})
	errDisk := errors.New("disk on fire")
	for _, want := range []error{nil, errDisk} {
		root := tracer.Request(httptest.NewRequest(http.MethodGet, "/", nil), "/", time.Now(), nil)
		in, log := Ingest(fake{want}, root), Shared(fake{want}, root)
		if err := in.Accept(nil, 0, make([]trackway.Command, 3), make([]trackway.Result, 3)); !errors.Is(err, want) {
			t.Errorf("Accept: got %v, want %v", err, want)
		}
		if err := log.Reach(t.Context(), "", true); !errors.Is(err, want) || log.Position() != "here" {
			t.Errorf("Reach: got %v, want %v", err, want)
		}
	}
	tracer.Close()
	collector.Close() // its handler has ended
	var got []string
	for _, s := range spans {
		line := fmt.Sprint(s.GetName(), " ", s.GetStatus().GetCode())
		for _, a := range s.GetAttributes() {
			line += fmt.Sprintf(" %s=%s%d", a.GetKey(), a.GetValue().GetStringValue(), a.GetValue().GetIntValue()) //nolint:perfsprint // a short one
		}
		got = append(got, line)
	}
	const failed, commands = " STATUS_CODE_ERROR", " trackway.commands=3 trackway.commands.refused=1"
	want := []string{
		"store commands STATUS_CODE_UNSET" + commands, "wait for the cluster STATUS_CODE_UNSET",
		"store commands" + failed + commands + " error.type=_OTHER0", "wait for the cluster" + failed + " error.type=_OTHER0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Without a span there is nothing in between.
func TestNoSpan(t *testing.T) {
	t.Parallel()
	if in := Ingest(fake{}, nil); in != (fake{}) {
		t.Errorf("got %T", in)
	}
	if log := Shared(fake{}, nil); log != (fake{}) {
		t.Errorf("got %T", log)
	}
	if log := Shared(nil, new(trace.Span)); log != nil {
		t.Errorf("a server that stands alone: got %T", log)
	}
}
