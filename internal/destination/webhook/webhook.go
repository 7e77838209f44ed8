// Package webhook sends each event and each change of a customer to a receiver
// of Standard Webhooks (standardwebhooks.com), as a signed message in a
// separate request.
//
// Each message arrives at least once, and those of one customer arrive in
// order. Up to 16 customers are served at a time. A receiver keeps no position,
// so only the engine's cursor counts: after a crash, up to a batch is sent
// again, with the same ids. While the process runs, an attempt continues where
// the previous one stopped.
package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/destination/outbound"
)

const (
	parallel  = 16               // requests at a time
	patience  = 15 * time.Second // for a request: what Standard Webhooks recommends
	maxAnswer = 4 << 10          // bytes read of an answer
	bodyTime  = 2 * time.Second  // for the body of an answer: the status, which alone decides, has already arrived
)

// Sink sends batches to a receiver. Make one with [New].
type Sink struct {
	keys [][]byte
	http *outbound.Client

	// The batch that was not accepted as a whole, and the state of its
	// messages, so that another attempt sends only the rest.
	batch   *destination.Batch
	pending [][]message
	rejects []destination.Reject
}

// New returns a sink. It sends nothing.
func New(d config.Destination) (*Sink, error) {
	keys, err := ReadSecrets(d.Secret)
	if err != nil {
		return nil, err
	}
	client, err := outbound.New(d.URL, d.Allow, parallel, patience, maxAnswer)
	if err != nil {
		return nil, err
	}
	client.BodyTime = bodyTime
	return &Sink{keys: keys, http: client}, nil
}

// JoinsHolders says that messages name the customer of an event.
func (*Sink) JoinsHolders() {}

// Prepare connects to the receiver, and sends nothing. A receiver keeps no
// position.
func (s *Sink) Prepare(ctx context.Context) (destination.Position, error) {
	return destination.Position{Number: destination.Unkept}, s.http.Reach(ctx)
}

// Write sends the messages of a batch. If the receiver does not accept one,
// Write begins no further ones, and waits for those on their way.
func (s *Sink) Write(ctx context.Context, b *destination.Batch) ([]destination.Reject, error) {
	if s.batch != b {
		s.batch, s.pending, s.rejects = b, groups(b), nil
	}
	if err := s.deliver(ctx, b.Store); err != nil {
		return nil, err
	}
	rejects := s.rejects
	s.forget()
	slices.SortFunc(rejects, func(a, b destination.Reject) int { return cmp.Compare(a.Number, b.Number) })
	return rejects, nil
}

func (s *Sink) forget() { s.batch, s.pending, s.rejects = nil, nil, nil }

// deliver sends the pending messages. Each worker takes one customer at a time,
// and sends that customer's messages one after the other.
func (s *Sink) deliver(ctx context.Context, store string) error {
	d := delivery{sink: s, store: store}
	var workers sync.WaitGroup
	for range min(parallel, len(s.pending)) {
		workers.Go(func() {
			for group := d.take(ctx); group != nil; group = d.take(ctx) {
				d.send(ctx, group)
			}
		})
	}
	workers.Wait()
	if d.failed == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return d.failed
}

// delivery is one attempt to send the pending messages of a sink.
type delivery struct {
	sink  *Sink
	store string

	mu     sync.Mutex // guards what follows and the sink's rejects; not held during requests
	next   int        // the first group that no worker has taken
	failed error      // the worst so far
}

// take returns the messages of the next customer. It returns nil if no message
// is left or the attempt has failed.
func (d *delivery) take(ctx context.Context) []message {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil || ctx.Err() != nil || d.next == len(d.sink.pending) {
		return nil
	}
	d.next++
	return d.sink.pending[d.next-1]
}

// send sends the messages of a customer until the attempt fails.
func (d *delivery) send(ctx context.Context, group []message) {
	for i := range group {
		m := &group[i]
		if m.settled {
			continue
		}
		body := m.body()
		reason, err := d.sink.post(ctx, m.id(d.store, body), body)
		if reason != "" {
			err = d.sink.vouch(ctx, m, reason)
		}
		if !d.settle(m, reason, err) {
			return
		}
	}
}

// settle notes the outcome of a message. It reports whether the attempt
// continues.
func (d *delivery) settle(m *message, reason string, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.failed = worse(d.failed, err)
		return false
	}
	m.settled = true
	if reason != "" {
		d.sink.rejects = append(d.sink.rejects, destination.Reject{Number: m.number, Table: m.table(), Reason: reason})
	}
	return d.failed == nil
}

// worse returns the error that is more useful: a final one first, then one that
// names a time to wait, then any other.
func worse(a, b error) error {
	rank := func(err error) int {
		var final *destination.FinalError
		var busy *destination.BusyError
		switch {
		case err == nil:
			return 0
		case errors.As(err, &final):
			return 3
		case errors.As(err, &busy):
			return 2
		}
		return 1
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func (m *message) table() string {
	switch {
	case m.event != nil:
		return "events"
	case m.customer.Survivor != 0:
		return "customer_map"
	}
	return "customers"
}

// post sends a message. If the receiver will never accept it, post returns the
// reason.
func (s *Sink) post(ctx context.Context, id string, body []byte) (reason string, err error) {
	now := time.Now()
	timestamp := seconds(now)
	// The names are in Go's canonical form. Receivers see no difference,
	// because names of header fields are case-insensitive.
	answer, err := s.http.Do(ctx, http.MethodPost, "", http.Header{
		"Content-Type":      {"application/json"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {Sign(s.keys, id, timestamp, body)},
	}, body)
	if err != nil {
		return "", err
	}
	return judge(answer, now)
}

// vouch returns an error unless a refused message may be left out. It sends a
// check, which a receiver would also refuse if it refused every message, for
// example because its secret has changed. The message of an erasure must never
// be left out, because the erasure would then count as done.
func (s *Sink) vouch(ctx context.Context, m *message, reason string) error {
	if m.customer != nil && m.customer.Erased {
		return fmt.Errorf("%s; the message reports that a customer was erased", reason)
	}
	if err := s.Check(ctx); err != nil {
		return fmt.Errorf("%s; it also refuses a message without content: %w", reason, err)
	}
	return nil
}

// judge returns the meaning of an answer: nothing if the message was accepted,
// a reason if it never will be, or an error.
func judge(a *outbound.Answer, now time.Time) (reason string, err error) {
	switch a.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fmt.Sprintf("the receiver refuses the message with %d %s", a.Status, http.StatusText(a.Status)), nil
	case http.StatusGone:
		return "", &destination.FinalError{Err: errors.New("the receiver answers 410 Gone: it wants no more messages")}
	}
	switch {
	case a.Status >= 200 && a.Status <= 299:
		return "", nil
	case a.Status >= 300 && a.Status <= 399:
		return "", fmt.Errorf("the receiver answers %d: redirects are not followed", a.Status)
	case a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable:
		if wait := a.RetryAfter(now); wait > 0 {
			return "", &destination.BusyError{Err: fmt.Errorf("the receiver answers %d and asks to wait", a.Status), After: wait}
		}
	case a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden:
		return "", fmt.Errorf("the receiver answers %d: does it have the same secret?", a.Status)
	case a.Status == http.StatusNotFound:
		return "", errors.New("the receiver answers 404: is the path right?")
	}
	return "", fmt.Errorf("the receiver answers %d", a.Status)
}

// Check sends a message of type trackway.check, which a receiver ignores like
// every type that it does not know.
func (s *Sink) Check(ctx context.Context) error {
	now := time.Now().UTC()
	body := append(now.AppendFormat([]byte(`{"type":"trackway.check","timestamp":"`), time.RFC3339Nano), `","data":{}}`...)
	reason, err := s.post(ctx, "check-"+rand.Text(), body)
	if err == nil && reason != "" {
		return errors.New(reason)
	}
	return err
}

// Rewind only forgets an unfinished batch, because the receiver keeps no
// position.
func (s *Sink) Rewind(context.Context, destination.Position) error {
	s.forget()
	return nil
}

// Close closes the connections.
func (s *Sink) Close() error {
	s.forget()
	s.http.Close()
	return nil
}
