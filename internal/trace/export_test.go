package trace

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// A collector that fails for a while gets the spans later. The log says so
// once.
func TestRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		attempts := 0
		f.collector.answer = func(*http.Request) *http.Response {
			switch attempts++; attempts {
			case 1:
				return status(0)
			case 2:
				res := status(http.StatusServiceUnavailable)
				res.Header.Set("Retry-After", "20")
				return res
			case 3:
				return status(http.StatusTooManyRequests)
			}
			return status(http.StatusOK)
		}
		f.on(Settings{Sample: 1})
		begun := time.Now()
		f.request().Answered(http.StatusOK, false)
		wait(t, patience)
		if exported, _, failed := f.counts(); exported != 1 || failed != 0 || attempts != 4 {
			t.Errorf("after %v and %d attempts: exported %v, failed %v", time.Since(begun), attempts, exported, failed)
		}
		wait(t, patience)
		f.request().Answered(http.StatusOK, false)
		f.Close()
		if got := f.log.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "does not take spans") || !strings.Contains(got, "takes spans again") {
			t.Errorf("the log says:\n%s", got)
		}
	})
}

// A collector that fails now and then does not fill the log.
func TestOverloadedCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		attempts := 0
		f.collector.answer = func(*http.Request) *http.Response {
			if attempts++; attempts%2 == 0 {
				return status(http.StatusTooManyRequests)
			}
			return status(http.StatusOK)
		}
		f.on(Settings{Sample: 1})
		const minutes = 10
		for range minutes * 60 {
			f.request().Answered(http.StatusOK, false)
			wait(t, time.Second)
		}
		f.Close()
		if got := strings.Count(f.log.String(), "\n"); got > 2 || attempts < minutes*10 {
			t.Errorf("%d attempts left %d lines in the log", attempts, got)
		}
	})
}

// Spans that the collector does not want are given up at once, and those that
// it cannot take after a while.
func TestGivesUp(t *testing.T) {
	t.Parallel()
	for code, most := range map[int]time.Duration{
		http.StatusBadRequest: 0, http.StatusUnauthorized: 0, http.StatusFound: 0, http.StatusInternalServerError: 0, http.StatusServiceUnavailable: patience, 0: patience,
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.collector.answer = func(*http.Request) *http.Response { return status(code) }
			f.on(Settings{Sample: 1, Headers: map[string]string{"authorization": "s3cr3t"}})
			f.request().Answered(http.StatusOK, false)
			wait(t, gatherTime+most)
			if exported, _, failed := f.counts(); exported != 0 || failed != 1 {
				t.Errorf("%d: exported %v, failed %v", code, exported, failed)
			}
			if got := f.log.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "s3cr3t") || strings.Contains(got, "collector.example.com") {
				t.Errorf("%d: the log says:\n%s", code, got)
			}
			f.Close()
		})
	}
}

// The status of an answer counts, even if the rest of it never comes.
func TestUnfinishedAnswer(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]struct {
		exported, failed float64
		again            bool
	}{http.StatusAccepted: {1, 0, false}, http.StatusBadRequest: {0, 1, false}, http.StatusServiceUnavailable: {0, 1, true}} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			attempts := 0
			f.collector.answer = func(r *http.Request) *http.Response {
				attempts++
				res := status(code)
				res.Body = unfinished{r.Context()}
				return res
			}
			f.on(Settings{Sample: 1})
			f.request().Answered(http.StatusOK, false)
			wait(t, gatherTime+patience+exportTime)
			exported, _, failed := f.counts()
			if exported != want.exported || failed != want.failed || attempts > 1 != want.again {
				t.Errorf("%d: exported %v, failed %v after %v attempts", code, exported, failed, attempts)
			}
			if said := f.log.Len() > 0; said != (failed > 0) {
				t.Errorf("%d: the log says:\n%s", code, &f.log)
			}
			f.Close()
		})
	}
}

// unfinished is a body that never comes.
type unfinished struct{ ctx context.Context } //nolint:containedctx // of the request

func (b unfinished) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, context.Cause(b.ctx)
}

func (unfinished) Close() error { return nil }

// The log has only the beginning of a collector's words, and plain words for a
// timeout.
func TestWordsOfCollector(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer func(net.Conn)
		want   string
	}{
		"garbage": {func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 "+strings.Repeat("g", maxHeader/2)+"\r\n\r\n") // it may have gone
		}, "ggg…"},
		"silence": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "did not answer within 10s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			f.on(Settings{Sample: 1})
			f.now.Load().client.Transport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					defer func() { _ = theirs.Close() }()
					if req, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
						_, _ = io.Copy(io.Discard, req.Body)
						c.answer(theirs)
					}
				}()
				return ours, nil
			}}
			f.request().Answered(http.StatusOK, false)
			wait(t, gatherTime+2*exportTime)
			f.Close()
			if got := f.log.String(); len(got) > 1000 || !strings.Contains(got, c.want) {
				t.Errorf("%s: the log says %d bytes:\n%.1000s", name, len(got), got)
			}
		})
	}
}

// A collector that hangs holds nobody up: neither requests, nor a reload, nor a
// stop. Spans that do not fit into the queue are dropped and counted.
func TestHangingCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.collector.answer = func(*http.Request) *http.Response { return nil }
		f.on(Settings{Sample: 1})
		begun := time.Now()
		f.request().Answered(http.StatusOK, false)
		wait(t, 2*gatherTime) // now it hangs
		const more = 5
		for range mostQueued + more {
			f.request().Answered(http.StatusOK, false)
		}
		if d := time.Since(begun); d != 2*gatherTime {
			t.Errorf("requests waited for %v", d-2*gatherTime)
		}
		if _, dropped, _ := f.counts(); dropped != more {
			t.Errorf("dropped %v, want %d", dropped, more)
		}
		stopping := time.Now()
		f.Reload(Settings{}) // off
		if d := time.Since(stopping); d != 0 {
			t.Errorf("the reload waited for %v", d)
		}
		if f.request() != nil {
			t.Error("a request is recorded after traces were switched off")
		}
		f.Close()
		if d := time.Since(stopping); d != flushTime {
			t.Errorf("the stop took %v, want %v", d, flushTime)
		}
		if exported, _, failed := f.counts(); exported != 0 || failed != mostQueued+1 {
			t.Errorf("exported %v, failed %v", exported, failed)
		}
	})
}

// A stop sends what is queued, in as many exports as it takes.
func TestFlush(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.on(Settings{Sample: 1})
		begun := time.Now()
		for range mostQueued - 1 {
			f.request().Answered(http.StatusOK, false)
		}
		f.Close()
		if exported, dropped, failed := f.counts(); exported != mostQueued-1 || dropped != 0 || failed != 0 || time.Since(begun) != 0 {
			t.Errorf("after %v: exported %v, dropped %v, failed %v", time.Since(begun), exported, dropped, failed)
		}
	})
}

// A collector may reject a part of an export.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	part := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 2)
	part = protowire.AppendString(protowire.AppendTag(part, 2, protowire.BytesType), "too old")
	answer := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), part)
	if rejected, message := partial(answer); rejected != 2 || message != "too old" {
		t.Errorf("got %d, %q", rejected, message)
	}
	for i := range answer {
		partial(answer[:i]) // does not panic
	}
	var seen *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		_, _ = w.Write(answer)
	}))
	defer server.Close()
	f := newFixture(t)
	f.Reload(Settings{Endpoint: server.URL + "/v1/traces", Sample: 1})
	for range 3 {
		f.request().Answered(http.StatusOK, false)
	}
	f.Close()
	server.Close() // its handler has ended
	if exported, dropped, failed := f.counts(); exported != 1 || dropped != 0 || failed != 2 {
		t.Errorf("exported %v, dropped %v, failed %v; want 1, 0, 2", exported, dropped, failed)
	}
	if got := f.log.String(); !strings.Contains(got, "the collector rejected 2 of 3 spans") {
		t.Errorf("the log says:\n%s", got)
	}
	if seen == nil || seen.URL.Path != "/v1/traces" {
		t.Errorf("the collector got %v", seen)
	}
}

// Neither the variables of OpenTelemetry's own libraries nor those of a proxy
// have any effect, and a redirect gets no headers.
func TestEnvironment(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("elsewhere got %v", r) }))
	defer elsewhere.Close()
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": elsewhere.URL, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": elsewhere.URL, "OTEL_EXPORTER_OTLP_HEADERS": "x=1",
		"OTEL_TRACES_SAMPLER": "always_off", "OTEL_RESOURCE_ATTRIBUTES": "host.name=s3cr3t", "OTEL_SERVICE_NAME": "s3cr3t", "OTEL_SDK_DISABLED": "true",
		"HTTP_PROXY": elsewhere.URL, "http_proxy": elsewhere.URL,
	} {
		t.Setenv(name, value)
	}
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		if r.Header.Get("X") != "" {
			t.Errorf("got the header %v", r.Header)
		}
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	f := newFixture(t)
	f.Reload(Settings{Endpoint: server.URL, Sample: 1, Headers: map[string]string{"authorization": "s3cr3t"}})
	f.request().Answered(http.StatusOK, false)
	f.Close()
	server.Close() // its handler has ended
	if _, _, failed := f.counts(); failed != 1 || len(got) == 0 || bytes.Contains(got, []byte("s3cr3t")) {
		t.Errorf("failed %v, exported %q", failed, got)
	}
}

// Requests may begin and end while the settings change. Each span is counted
// once, except for those that find their collector gone.
func TestReloads(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer server.Close()
	f := newFixture(t)
	settings := []Settings{{}, {Endpoint: server.URL, Sample: 1}, {Endpoint: server.URL + "/v1/traces", Sample: 0.5, Follow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
	f.Reload(settings[1])
	f.request().Answered(http.StatusOK, false) // at least this one is recorded
	var requests sync.WaitGroup
	const callers, each = 4, 500
	for range callers {
		requests.Go(func() {
			for range each {
				s := f.request("Traceparent", sampled)
				s.Child("store commands").End(false)
				s.Answered(http.StatusOK, false)
			}
		})
	}
	for i := range 100 {
		f.Reload(settings[i%len(settings)])
	}
	requests.Wait()
	f.Close()
	exported, dropped, failed := f.counts()
	if all := exported + dropped + failed; all == 0 || all > 1+2*callers*each {
		t.Errorf("exported %v, dropped %v, failed %v", exported, dropped, failed)
	}
}
