package passing

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"trackway/internal/api/room"
	"trackway/internal/control/relay"
)

// TestNew: nobody carries out a call for a project that has no place yet. If
// another server has passed it on, that one tries the next.
func TestNew(t *testing.T) {
	t.Parallel()
	alone := &Away{}
	several := &Away{Holders: func(uint32) ([]http.RoundTripper, bool) { return nil, true }}
	for name, a := range map[string]*Away{"one partition": alone, "several": several} {
		if a.Holds(0) || !a.Holds(1) {
			t.Errorf("%s: it holds a project without a number, or not one with a number", name)
		}
		w := httptest.NewRecorder()
		if _, done, err := a.Carry(t.Context(), 0, &Call{W: w}, new(Caller)); done || !errors.Is(err, errNew) || w.Header().Get(elsewhereField) != "" {
			t.Errorf("%s: got %v, %v, %v", name, done, err, w.Header())
		}
		if _, done, err := a.Carry(t.Context(), 0, &Call{W: w, By: new(Caller)}, new(Caller)); done || err == nil || w.Header().Get(elsewhereField) == "" {
			t.Errorf("%s: passed on: got %v, %v, %v", name, done, err, w.Header())
		}
	}
}

// TestStreams: streams do not take the places of calls, and one too many is
// refused at once.
func TestStreams(t *testing.T) {
	t.Parallel()
	marked := map[string]bool{}
	var a *Away
	nested := func() {}
	holder := roundTrip(func(r *http.Request) (*http.Response, error) {
		marked[r.URL.Path] = relay.IsStream(r.Context())
		if r.URL.Path == "/stream" {
			nested()
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("x"))}, nil
	})
	a = &Away{
		Holders: func(uint32) ([]http.RoundTripper, bool) { return []http.RoundTripper{holder}, false },
		Places:  room.NewPlaces(1, 1), Streams: room.NewPlaces(1, 1),
	}
	by := &Caller{Addr: netip.MustParseAddr("192.0.2.1")}
	carry := func(path string, stream bool) error {
		_, _, err := a.Carry(t.Context(), 1, &Call{
			W: httptest.NewRecorder(), R: httptest.NewRequest(http.MethodGet, path, http.NoBody), Safe: true, Stream: stream, Free: func() {},
		}, by)
		return err
	}
	nested = func() {
		if err := carry("/call", false); err != nil {
			t.Errorf("a call beside a stream: %v", err)
		}
		if err := carry("/second", true); !errors.Is(err, errNoStream) {
			t.Errorf("a stream too many: got %v", err)
		}
	}
	for range 2 { // the places come back
		if err := carry("/stream", true); err != nil {
			t.Error(err)
		}
	}
	if !marked["/stream"] || marked["/call"] {
		t.Errorf("streams are marked as %v", marked)
	}
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
