package load

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	lastAnswer    = 15 * time.Second // for requests under way at the end
	maxLatency    = 10 * time.Minute // longer latencies count as this
	significance  = 3                // digits of a latency
	reasonsListed = 10
	breather      = 100 * time.Millisecond // after a refused connection, in the closed loop
)

// Run is a run, under way or done. It can be used once.
type Run struct {
	*Plan

	requests atomic.Uint64
	events   atomic.Uint64
	length   time.Duration
	unsent   uint64 // requests that were due when no connection was free

	mu      sync.Mutex // guards the fields below
	latency *hdrhistogram.Histogram
	counts  [unreached + 1]uint64
	acked   uint64 // events
	reasons map[string]uint64
	ledger  []account
}

// account holds the serial numbers of a customer's events, by outcome.
type account struct{ acknowledged, unknown []uint64 }

// New returns a run that has not begun.
func New(p Plan) *Run {
	return &Run{
		Plan: &p, latency: newHistogram(), reasons: map[string]uint64{}, ledger: make([]account, p.Customers),
	}
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxLatency.Microseconds(), significance)
}

// Load sends requests until the time is over or ctx ends. It returns when all
// requests are answered.
func (r *Run) Load(ctx context.Context) {
	began := time.Now()
	sending, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	ctx, stop := context.WithDeadline(ctx, began.Add(r.Duration))
	defer stop()
	// Requests under way at the end still get their answer. Without it, nobody
	// knows whether their events are stored.
	context.AfterFunc(ctx, func() {
		timer := time.NewTimer(lastAnswer)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(errors.New("no answer in time"))
		case <-sending.Done():
		}
	})
	var workers sync.WaitGroup
	for range r.Connections {
		workers.Go(func() { r.work(ctx, sending, began) })
	}
	answered := make(chan struct{})
	go func() {
		workers.Wait()
		close(answered)
	}()
	select {
	case <-ctx.Done():
	case <-answered:
	}
	sent := time.Since(began) // excludes the wait for requests under way
	<-answered
	if r.length = time.Since(began); r.Rate > 0 {
		due := uint64(r.Rate * min(sent, r.Duration).Seconds())
		r.unsent = max(due, r.requests.Load()) - r.requests.Load()
	}
}

// work sends one request after the other.
func (r *Run) work(ctx, sending context.Context, began time.Time) {
	mine := newHistogram()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		n := r.requests.Add(1) - 1
		due := r.due(n, began)
		if due.Sub(began) >= r.Duration || !await(ctx, timer, due) {
			r.requests.Add(^uint64(0)) // the request is not sent
			break
		}
		if r.Rate == 0 {
			due = time.Now()
		}
		count := uint64(r.Plan.events(r.Mix.kind(n)))
		p := r.post(n, r.events.Add(count)-count)
		f, why := r.send(sending, n, &p)
		if f == acknowledged {
			// The value is always within bounds.
			_ = mine.RecordValue(min(time.Since(due), maxLatency).Microseconds())
		}
		r.note(&p, f, why)
		if f == unreached && r.Rate == 0 {
			await(ctx, timer, time.Now().Add(breather))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latency.Merge(mine)
}

// due returns when to send the nth request. In the closed loop, that is at
// once.
func (r *Run) due(n uint64, began time.Time) time.Time {
	if r.Rate == 0 {
		return began
	}
	return began.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
}

// await waits until a time, and returns false if ctx ends first.
func await(ctx context.Context, timer *time.Timer, until time.Time) bool {
	if wait := time.Until(until); wait > 0 {
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

func (r *Run) note(p *post, f fate, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[f]++
	if f != acknowledged && f != limited && (len(r.reasons) < reasonsListed || r.reasons[why] > 0) {
		r.reasons[why]++
	}
	a := &r.ledger[p.customer]
	for i := range uint64(p.events) {
		switch f {
		case acknowledged:
			a.acknowledged = append(a.acknowledged, p.first+i)
			r.acked++
		case unknown:
			a.unknown = append(a.unknown, p.first+i)
		}
	}
}

// reason returns why there is no answer. It leaves out the addresses of the
// connection, so that all connections have the same reason.
func reason(err error) string {
	if inner := (*net.OpError)(nil); errors.As(err, &inner) {
		why := inner.Err
		if call := (*os.SyscallError)(nil); errors.As(why, &call) {
			why = call.Err
		}
		return inner.Op + ": " + why.Error()
	}
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		err = inner.Err
	}
	return err.Error()
}
