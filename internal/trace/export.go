package trace

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"trackway/internal/excerpt"
)

// Bounds of the export. A span in the queue takes some 500 bytes.
const (
	mostQueued   = 2048
	mostTogether = 512              // spans in one export
	gatherTime   = time.Second      // for further spans to join the first one
	exportTime   = 10 * time.Second // for one export
	firstPause   = time.Second      // after the first failure; doubled after each other one
	mostPause    = 30 * time.Second
	patience     = time.Minute // after which spans that the collector does not take are given up
	maxAnswer    = 64 << 10    // bytes that are read of an answer
	maxHeader    = 64 << 10
)

// flushTime is how long a stop waits for the collector.
const flushTime = time.Second

// exporter sends spans to a collector while run is running.
type exporter struct {
	Settings

	queue   chan *Span // if it is full, further spans are dropped
	client  *http.Client
	log     *slog.Logger
	metrics *metrics
	failing bool      // as the log says
	failed  time.Time // at last

	stop context.CancelFunc // has run send what is queued, and end
}

func newExporter(s Settings, log *slog.Logger, m *metrics) *exporter {
	e := &exporter{Settings: s, queue: make(chan *Span, mostQueued), log: log, metrics: m}
	e.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // the endpoint alone says where spans go
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxIdleConnsPerHost:    1,
			MaxResponseHeaderBytes: maxHeader,
		},
		// A redirect would take the headers with it.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return e
}

// keep queues a span for export, and never waits.
func (t *Tracer) keep(s *Span) {
	e := t.now.Load()
	if e == nil {
		return // traces were switched off meanwhile
	}
	select {
	case e.queue <- s:
	default:
		t.metrics.dropped.Inc()
	}
}

// start runs an exporter until it is stopped.
func (t *Tracer) start(e *exporter) {
	ctx, cancel := context.WithCancel(context.Background())
	e.stop = cancel
	t.running.Go(func() { e.run(ctx) })
}

// run exports spans until ctx ends. Then it sends the rest, for at most
// [flushTime], without repetitions.
func (e *exporter) run(ctx context.Context) {
	defer e.client.CloseIdleConnections()
	flushed, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(flushTime, cancel) })
	for {
		batch := e.gather(ctx)
		if len(batch) == 0 {
			return
		}
		e.send(flushed, batch, ctx.Done())
	}
}

// gather returns the next spans: up to [mostTogether] of those that come within
// [gatherTime]. It returns none if ctx has ended and the queue is empty.
func (e *exporter) gather(ctx context.Context) (batch []*Span) {
	var late <-chan time.Time
	for len(batch) < mostTogether {
		s := e.next(ctx, late)
		if s == nil {
			break
		}
		if batch = append(batch, s); late == nil {
			late = time.After(gatherTime)
		}
	}
	return batch
}

// next returns the next span. It returns nil if none is queued when it is late,
// or when ctx ends.
func (e *exporter) next(ctx context.Context, late <-chan time.Time) *Span {
	select {
	case s := <-e.queue:
		return s
	default:
	}
	select {
	case s := <-e.queue:
		return s
	case <-late:
	case <-ctx.Done():
	}
	return nil
}

// send exports spans, and tries again if the collector may take them later,
// unless stopped is closed.
func (e *exporter) send(ctx context.Context, batch []*Span, stopped <-chan struct{}) {
	body, err := proto.Marshal(e.message(batch))
	if err != nil {
		e.complain(err)
		e.metrics.failed.Add(float64(len(batch)))
		return
	}
	begun, pause := time.Now(), firstPause
	for {
		rejected, err := e.export(ctx, body)
		if err == nil {
			e.exported(len(batch), min(rejected, len(batch)))
			return
		}
		e.complain(err)
		wait := rand.N(pause) + pause/2 //nolint:gosec // it only spreads attempts
		pause = min(2*pause, mostPause)
		later, again := errors.AsType[*laterError](err)
		if again {
			wait = max(wait, min(later.after, mostPause))
		}
		if again && time.Since(begun)+wait <= patience && waited(wait, stopped) {
			continue
		}
		e.metrics.failed.Add(float64(len(batch)))
		return
	}
}

// waited waits, and reports whether it was not stopped.
func waited(d time.Duration, stopped <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stopped:
		return false
	}
}

// exported counts the spans of an export.
func (e *exporter) exported(spans, rejected int) {
	e.metrics.exported.Add(float64(spans - rejected))
	e.metrics.failed.Add(float64(rejected))
	switch {
	case rejected > 0:
		e.complain(fmt.Errorf("the collector rejected %d of %d spans", rejected, spans))
	case e.failing && time.Since(e.failed) >= patience:
		e.failing = false
		e.log.Info("traces: the collector takes spans again")
	}
}

// complain logs the first of several failures. Others within [patience] count
// as the same one, so that an overloaded collector does not fill the log.
func (e *exporter) complain(err error) {
	e.failed = time.Now()
	if !e.failing {
		e.failing = true
		e.log.Warn("traces: the collector does not take spans; requests are served as usual", "err", excerpt.Of(err.Error(), maxMessage))
	}
}

// laterError is the error of an export that may succeed later.
type laterError struct {
	err   error
	after time.Duration // that the collector asks to wait
}

func (e *laterError) Error() string { return e.err.Error() }

func (e *laterError) Unwrap() error { return e.err }

var errSlow = fmt.Errorf("the collector did not answer within %v", exportTime)

// export sends a message once. It returns how many of its spans the collector
// has rejected for good.
func (e *exporter) export(ctx context.Context, body []byte) (rejected int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exportTime, errSlow)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "trackway")
	for name, value := range e.Headers {
		req.Header.Set(name, value)
	}
	res, err := e.client.Do(req)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // a path may hold a key
		}
		return 0, &laterError{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	// The status counts, even if the rest does not come: spans that were taken
	// must not be sent again.
	answer, _ := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if res.StatusCode/100 == 2 { // a success
		rejected, message := partial(answer)
		if message != "" {
			e.log.Debug("traces: the collector says about an export", "rejected", rejected, "message", excerpt.Of(message, maxMessage))
		}
		return rejected, nil
	}
	err = fmt.Errorf("the collector answered with status %d", res.StatusCode)
	switch res.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16) // a date counts as no wish
		return 0, &laterError{err, time.Duration(seconds) * time.Second}
	}
	return 0, err
}

const maxMessage = 200 // bytes of a text that may be the collector's
