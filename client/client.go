// Package client sends what customers do to a Trackway server. A call of Track
// returns at once. The client then delivers its command, in the order of the
// calls, however often the network, the server or this process fails on the
// way, and reports each command that it cannot deliver. Commands wait in a
// bounded queue, in memory or on disk. One goroutine sends them in batches,
// slows down before the server's limit would stop it, and waits as long as the
// server asks if it is stopped. A server stores a command once even if it is
// sent twice, since every command carries a time of its own. If the answer to a
// batch was lost and the batch went to another server, which has a store of its
// own, both may have it.
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
)

// Client sends commands to a server. Safe for concurrent use. Each must be closed. Only [New] makes one: the zero value is none.
type Client struct {
	o     Options
	http  *http.Client
	fleet *fleet
	sync  func() error                // of the queue; nil where it has nothing to force to the disk
	call  func(func(context.Context)) // calls a function of the user's, with the context that [Client.calledBy] knows
	stop  context.CancelCauseFunc
	ended sync.WaitGroup // the client's goroutines

	mu       sync.Mutex // guards what follows; the queue's writes are done under it, its syncs and all requests are not
	queue    queue
	stamps   stamps
	oldest   time.Time               // since when the first waiting command has waited, about
	onWay    int                     // commands taken from the queue and not settled
	wayFrom  uint64                  // how many commands had come before the first of the batch that is on its way
	took     uint64                  // commands in all, earlier clients' included
	flush    uint64                  // how many of these are to be sent without waiting for a full batch
	closed   bool                    // no command is taken any more
	finished bool                    // the queue is closed
	closeErr error                   // once finished: what Close returns
	calls    []func(context.Context) // of the user's functions, that are to be made
	telling  bool                    // there is a goroutine that makes them
	told     uint64                  // rejections of which OnReject has returned, or is not told
	untold   int                     // bytes of those that it is yet to be told, or is being told
	stats    Stats                   // Queued and Damaged apart
	changed  chan struct{}           // closed and replaced when any of these has changed in a way that somebody may wait for
}

// New returns a client, which begins to send what an earlier client left in the directory. It fails if the options are wrong, and
// with [ErrLocked] if another client uses the directory. It asks no server anything.
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

// Track notes that a customer did something now. It returns as soon as the event is queued: a nil error promises that it will be
// delivered, or reported by OnReject or [Client.Close]. The maps are not kept.
func (c *Client) Track(ids IDs, eventType string, properties Properties) error {
	return c.track(ids, eventType, properties, time.Time{})
}

// TrackAt notes that a customer did something at a time. Two equal events at one microsecond are one event.
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

// Identify tells that all of ids are of one customer, as [Client.Update] of them does; there need not be properties to set.
func (c *Client) Identify(ids IDs, properties Properties) error {
	return c.update(ids, properties, time.Time{})
}

// Update sets properties of a customer as of now: those that were set later, by their update time, stay as they are.
func (c *Client) Update(ids IDs, properties Properties) error {
	return c.update(ids, properties, time.Time{})
}

// UpdateAt sets properties of a customer as of a time: those that were set later than that stay as they are.
func (c *Client) UpdateAt(at time.Time, ids IDs, properties Properties) error {
	if err := checkTime(at); err != nil {
		return err
	}
	return c.update(ids, properties, at)
}

func (c *Client) update(ids IDs, properties Properties, at time.Time) error {
	return c.add("customers", data{IDs: ids, Properties: properties, Updated: seconds(c.stamp(at))})
}

// stamp returns a time for a command: the one given, or if it is the zero time, one of its own.
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

// makeRoomLocked returns when the queue has room for a command, or an error if there will be none. It lets go of the lock
// while it waits. A command that is larger than the whole queue has room once the queue is empty.
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
			c.changedLocked() // a flush may have waited for it, or for damaged ones before it
			if err != nil {
				return err
			}
			c.stats.Dropped++
			if !dropped { // all there is, is on its way
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

// changedLocked wakes those who wait for a change.
func (c *Client) changedLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// waitLocked lets go of the lock until something has changed or ctx ends.
func (c *Client) waitLocked(ctx context.Context) {
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// unsettledLocked returns how many of the first commands that were taken are neither delivered nor rejected, dropped or lost. What
// waits is what came last: commands leave the queue at its front only. What is on its way came before all of it.
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

// Flush sends what was queued before without waiting for full batches. It
// returns when all of it is delivered or rejected, and OnReject has returned of
// the rejected (unless ctx is that of a call of OnReject or OnTrouble). If ctx
// ends before, the error is an [UndeliveredError] as long as anything is
// undelivered; the client goes on trying.
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

// undeliveredLocked returns the error of a wait that ended with ctx or, if that has not, with the client.
func (c *Client) undeliveredLocked(commands int, ctx context.Context) error { //nolint:revive // context-as-argument: it is only asked
	cause := context.Cause(ctx)
	if cause == nil {
		cause = ErrClosed
	}
	return &UndeliveredError{commands, c.o.Dir != "", cause, c.stats.LastError}
}

// Close takes no more commands, delivers what is queued, and ends the client. If ctx ends first, what is left is counted by an
// [UndeliveredError]; with a directory it is kept there for the next client. A second call waits for the first, and returns
// the same; one with the context of OnReject or OnTrouble does not wait.
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
	if undelivered := (*UndeliveredError)(nil); errors.As(err, &undelivered) { // the last request may have been answered after all
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

// awaitClosed waits for the first call of Close to end, and returns what that does.
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

// Time asks the server in use for its time. It shows whether the server can be reached and knows the project and the token;
// other answers are an [AnswerError]. It is under the server's limit as all requests are, and waits for its turn.
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

// askTime asks for the time, and goes where it is redirected, as batches do.
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

// Server returns the address of the server in use, empty before the first request.
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
