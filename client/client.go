// Package client sends what customers do to a Trackway server. Track returns at
// once. The client then delivers the command, in the order of the calls,
// however often the network, the server or this process fails on the way. It
// reports each command that it cannot deliver. Commands wait in a bounded
// queue, in memory or on disk. One goroutine sends them in batches. It slows
// down before the server's limit would stop it; if the server does refuse it,
// it waits as long as the server asks.
//
// Every command carries a time of its own, so a server stores a command once
// even if it arrives twice. There is one exception: if the answer to a batch is
// lost and the batch then goes to another server with a store of its own, both
// may have it.
//
// The client needs the standard library only. It reads nothing back and logs
// nothing: it reports what goes wrong to OnTrouble.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"trackway/client/internal/place"
)

// Client sends commands to a server. It is safe for concurrent use. Make one
// with [New]: the zero value does not work. Close it when you are done.
type Client struct {
	o     Options
	http  *http.Client
	fleet *fleet
	place place.Place
	sync  func() error                // forces the queue to the disk; nil if the queue is in memory
	call  func(func(context.Context)) // calls a function of the user's with a context that [Client.calledBy] recognizes
	stop  context.CancelCauseFunc
	ended sync.WaitGroup // the client's goroutines

	mu       sync.Mutex // guards what follows; held for writes to the queue, never for syncs and requests
	queue    queue
	stamps   stamps
	oldest   time.Time               // about when the command that waits longest was queued
	onWay    int                     // commands taken from the queue and not settled
	wayFrom  uint64                  // how many commands came before the first of the batch on its way
	took     uint64                  // all commands so far, an earlier client's included
	flush    uint64                  // how many of these to send without waiting for a full batch
	closed   bool                    // no more commands are accepted
	finished bool                    // the queue is closed
	closeErr error                   // what Close returns once finished
	calls    []func(context.Context) // pending calls of the user's functions
	telling  bool                    // a goroutine is making these calls
	told     uint64                  // rejections whose OnReject call has returned or was left out
	untold   int                     // bytes of rejections whose OnReject call has not returned
	stats    Stats                   // without Queued and Damaged
	changed  chan struct{}           // closed and replaced on every change that somebody may wait for
}

// New returns a client. It starts to send what an earlier client left in the
// directory. New makes no request itself. It fails if the options are wrong,
// and with [ErrLocked] if another client uses the directory.
func New(o Options) (*Client, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	c := &Client{o: o, fleet: newFleet(&o), queue: &memory{}, changed: make(chan struct{}), http: &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if o.Transport == nil {
		c.http.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: o.Timeout,
		}
	}
	if o.Dir != "" {
		q, err := openDisk(o.Dir, o.Sync == SyncNever)
		if err != nil {
			return nil, fmt.Errorf("open queue in %s: %w", o.Dir, err)
		}
		c.queue, c.sync = q, q.sync
	}
	c.took = uint64(c.queue.state().waiting)
	c.flush = c.took
	calls := context.WithValue(context.Background(), callOf{}, c)
	c.call = func(f func(context.Context)) { f(calls) }
	ctx, stop := context.WithCancelCause(context.Background())
	c.stop = stop
	c.ended.Go(func() { c.run(ctx) })
	if o.Dir != "" && o.Sync == SyncEachSecond {
		c.ended.Go(func() { c.syncEachSecond(ctx) })
	}
	return c, nil
}

// Track records that a customer did something now. It returns as soon as the
// event is queued. A nil error promises that the event will be delivered, or
// reported by OnReject or [Client.Close]. Track does not keep the maps.
func (c *Client) Track(ids IDs, eventType string, properties Properties) error {
	return c.track(ids, eventType, properties, time.Time{})
}

// TrackAt records that a customer did something at a given time. Two equal
// events in the same microsecond count as one.
func (c *Client) TrackAt(at time.Time, ids IDs, eventType string, properties Properties) error {
	if err := checkTime(at); err != nil {
		return err
	}
	return c.track(ids, eventType, properties, at)
}

func (c *Client) track(ids IDs, eventType string, properties Properties, at time.Time) error {
	if err := checkType(eventType); err != nil {
		return err
	}
	return c.add("customers/events", data{IDs: ids, Type: eventType, Properties: properties, Timestamp: seconds(c.stamp(at))})
}

// Identify declares that all of ids belong to one customer, as [Client.Update]
// does. Properties may be empty.
func (c *Client) Identify(ids IDs, properties Properties) error {
	return c.update(ids, properties, time.Time{})
}

// Update sets properties of a customer as of now. A property that already has a
// later update time keeps its value.
func (c *Client) Update(ids IDs, properties Properties) error {
	return c.update(ids, properties, time.Time{})
}

// UpdateAt sets properties of a customer as of a given time. A property that
// already has a later update time keeps its value.
func (c *Client) UpdateAt(at time.Time, ids IDs, properties Properties) error {
	if err := checkTime(at); err != nil {
		return err
	}
	return c.update(ids, properties, at)
}

func (c *Client) update(ids IDs, properties Properties, at time.Time) error {
	return c.add("customers", data{IDs: ids, Properties: properties, Updated: seconds(c.stamp(at))})
}

// stamp returns the time of a command: at, or the current time, made unique, if
// at is the zero time.
func (c *Client) stamp(at time.Time) int64 {
	if !at.IsZero() {
		return at.UnixMicro()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stamps.next(time.Now().UnixMicro())
}

// add queues a command.
func (c *Client) add(name string, d data) error {
	command, err := encode(name, d)
	if err != nil {
		return err
	}
	if err := c.push(command); err != nil {
		return err
	}
	if c.sync != nil && c.o.Sync == SyncAlways {
		return c.sync()
	}
	return nil
}

func (c *Client) push(command []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.makeRoomLocked(int64(len(command))); err != nil {
		return err
	}
	if c.queue.state().waiting == 0 {
		c.oldest = time.Now()
	}
	if err := c.queue.push(command); err != nil {
		return err
	}
	c.took++
	if n := c.queue.state().waiting; n == 1 || n == c.o.BatchSize {
		c.changedLocked() // the sender may be waiting for this
	}
	return nil
}

// makeRoomLocked returns when the queue has room for a command, or an error if
// it never will. It releases the lock while it waits. A command larger than the
// whole queue has room once the queue is empty.
func (c *Client) makeRoomLocked(size int64) error {
	for {
		held := c.queue.state().bytes
		switch {
		case c.closed:
			return ErrClosed
		case held == 0 || held+size <= c.o.QueueBytes:
			return nil
		}
		switch c.o.WhenFull {
		case DropOldest:
			dropped, err := c.queue.drop()
			c.changedLocked() // a flush may be waiting for it, or for damaged commands before it
			if err != nil {
				return err
			}
			c.stats.Dropped++
			if !dropped { // everything left is on its way
				return ErrFull
			}
		case Block:
			c.waitLocked(context.Background())
		default:
			c.stats.Dropped++
			return ErrFull
		}
	}
}

// changedLocked wakes everyone who waits for a change.
func (c *Client) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// waitLocked releases the lock until something has changed or ctx ends.
func (c *Client) waitLocked(ctx context.Context) {
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// unsettledLocked returns how many of the first commands are still neither
// delivered nor rejected, dropped or lost. It relies on the order of the queue:
// commands leave it only at the front, so the waiting commands are the last
// ones that came, and those on their way came before them.
func (c *Client) unsettledLocked(first uint64) int {
	n := 0
	if c.wayFrom < first {
		n = min(c.onWay, int(first-c.wayFrom))
	}
	if gone := c.took - uint64(c.queue.state().waiting); gone < first {
		n += int(first - gone)
	}
	return n
}

// Flush sends all that is queued without waiting for full batches. It returns
// when each of these commands is delivered or rejected, and OnReject has
// returned for the rejected ones. If ctx ends first, Flush returns an
// [UndeliveredError] as long as anything is undelivered, and the client keeps
// trying. With the context of an OnReject or OnTrouble call, Flush does not
// wait for OnReject.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	target := c.took
	c.flush = max(c.flush, target)
	c.changedLocked()
	for c.unsettledLocked(target) > 0 && ctx.Err() == nil && !c.finished {
		c.waitLocked(ctx)
	}
	if n := c.unsettledLocked(target); n > 0 {
		return c.undeliveredLocked(n, ctx)
	}
	for rejected := c.stats.Rejected; !c.calledBy(ctx) && c.told < rejected; c.waitLocked(ctx) {
		if ctx.Err() != nil {
			return fmt.Errorf("OnReject has yet to return: %w", context.Cause(ctx))
		}
	}
	return nil
}

// undeliveredLocked returns the error of a wait that ctx ended or, if ctx has
// not ended, that the end of the client did.
func (c *Client) undeliveredLocked(commands int, ctx context.Context) error { //nolint:revive // context-as-argument: it is only asked
	cause := context.Cause(ctx)
	if cause == nil {
		cause = ErrClosed
	}
	return &UndeliveredError{commands, c.o.Dir != "", cause, c.stats.LastError}
}

// Close stops accepting commands, delivers what is queued, and ends the client.
// If ctx ends first, Close returns an [UndeliveredError] that counts the
// commands left. If the client has a directory, they stay there for the next
// client. A second call waits for the first and returns the same error, unless
// its context is that of an OnReject or OnTrouble call: then it does not wait.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	again := c.closed
	c.closed = true
	c.changedLocked()
	c.mu.Unlock()
	if again {
		return c.awaitClosed(ctx)
	}
	err := c.Flush(ctx)
	c.stop(ErrClosed)
	c.ended.Wait()
	c.http.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	// The last request may have been answered after all.
	if undelivered := (*UndeliveredError)(nil); errors.As(err, &undelivered) {
		if undelivered.Commands = c.queue.state().waiting + c.onWay; undelivered.Commands == 0 {
			err = nil
		}
	}
	if closeErr := c.queue.close(); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("close: %w", closeErr))
	}
	c.finished, c.closeErr = true, err
	c.changedLocked()
	return err
}

// awaitClosed waits for the first call of Close to end, and returns its error.
func (c *Client) awaitClosed(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.finished && !c.calledBy(ctx) && ctx.Err() == nil {
		c.waitLocked(ctx)
	}
	if c.finished {
		return c.closeErr
	}
	return c.undeliveredLocked(c.queue.state().waiting+c.onWay, ctx)
}

// Time asks the server in use for its time. Success shows that the server can
// be reached and accepts the project and the token. Any other answer is an
// [AnswerError]. Like every request, it counts towards the server's limit and
// waits for its turn.
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	a, err := c.askTime(ctx)
	if err != nil {
		return time.Time{}, err
	}
	var body struct{ Time json.Number }
	if a.status != http.StatusOK {
		return time.Time{}, &AnswerError{a.status, a.reason()}
	}
	if err := json.Unmarshal(a.body, &body); err != nil || body.Time == "" {
		return time.Time{}, errAnswer
	}
	at, err := body.Time.Float64()
	return time.UnixMicro(int64(at * 1e6)).UTC(), err
}

// askTime asks for the time, and follows redirects as batches do.
func (c *Client) askTime(ctx context.Context) (*answer, error) {
	const route = "system/time"
	for to, moves := "", 0; ; moves++ {
		if c.isClosed() {
			return nil, ErrClosed
		}
		s, err := c.turn(ctx)
		if err != nil {
			return nil, err
		}
		a := c.ask(ctx, s, http.MethodGet, orElse(to, c.path(s, route)), nil)
		if a.err != nil {
			return nil, a.err
		}
		c.fleet.heard(s, a, time.Now())
		if to = a.target(); to == "" || moves == maxMoves {
			return a, nil
		}
		c.fleet.moved(origin(to, c.path(&server{}, route)))
	}
}

func (c *Client) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Server returns the address of the server in use. It is empty before the first
// request.
func (c *Client) Server() string { return c.fleet.inUse() }

// Stats returns what has become of the commands so far.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Queued = c.queue.state().waiting + c.onWay
	s.Damaged = c.queue.state().damaged
	return s
}

// syncEachSecond forces the queue to the disk until ctx ends.
func (c *Client) syncEachSecond(ctx context.Context) {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return // closing the queue syncs it
		}
		if err := c.sync(); err != nil {
			c.noteTrouble(err)
		}
	}
}

func (c *Client) noteTrouble(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.troubleLocked(err)
}
