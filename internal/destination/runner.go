package destination

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"trackway/internal/config"
	"trackway/internal/destination/kept"
	"trackway/internal/destination/turn"
	"trackway/internal/trace"
)

// How long calls of a sink may take, and the pace of checks.
const (
	prepareTime  = time.Minute
	checkTime    = time.Minute
	writeTime    = 5 * time.Minute
	operatorTime = time.Hour       // maximum, for a range of a verification
	rewindTime   = 5 * time.Minute // for preparing; pauses and reloads wait for it
	grace        = 5 * time.Second // for a running write when the server stops
	idleCheck    = time.Hour       // after the last write or check
	patience     = 3 * grace       // for a runner that is to stop
	breaker      = 5               // failures in a row after which a check must succeed before the batch is tried again
)

// errMoved ends a session because the destination's position is not where the
// engine left it. For example, somebody has restored the destination. The next
// session continues from the new position.
var errMoved = errors.New("the destination has another position than before")

// runner sends the changes of a store to one destination, while run is running.
type runner struct {
	config config.Destination
	view   *View
	sink   Sink
	store  Store
	id     string // of the store
	log    *slog.Logger
	stats  stats
	files  kept.Record
	turn   *turn.Turn // nil: only this server has the store
	jitter func(most time.Duration) time.Duration
	traces *trace.Tracer

	ending   <-chan struct{} // closed when the server stops
	gone     chan struct{}   // closed before the sink is closed
	closing  sync.Once
	using    chan struct{} // holds an element while somebody calls the sink, and once the sink is closed
	prepared atomic.Bool   // all calls since the session's last Prepare succeeded

	// Of the session.
	at     Position // that the sink should have
	unkept bool     // the sink keeps no position
}

// run sends changes until ctx ends, or until an operator has to act. In the
// latter case it returns a [*FinalError].
func (r *runner) run(ctx context.Context) error {
	for failures := 0; ; failures++ {
		begun := time.Now()
		err := r.session(ctx)
		if time.Since(begun) > mostPause {
			failures = 0
		}
		if ctx.Err() != nil || errors.Is(err, turn.ErrLost) {
			return nil //nolint:nilerr // it was stopped
		}
		if final, ok := errors.AsType[*FinalError](err); ok && !(final.Taken && r.turn != nil) {
			return final
		}
		r.stats.failed(err, r.clean(err))
		r.log.Warn("destination: it starts again", "err", r.clean(err))
		if r.rest(ctx, failures, err) != nil {
			return nil //nolint:nilerr // it was stopped
		}
	}
}

// session prepares the destination, finds out where to continue, and writes
// batches until something unexpected happens, which it returns.
func (r *runner) session(ctx context.Context) (err error) {
	defer r.catch(&err)
	from, err := r.open(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	batches, ended := make(chan *Batch), make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- r.fill(ctx, from, batches)
	}()
	defer func() {
		cancel()
		<-ended //nolint:errcheck // this context ends because the session does
	}()
	idle := time.NewTimer(idleCheck)
	defer idle.Stop()
	for {
		written := true
		select {
		case b := <-batches:
			err, written = r.deliver(ctx, b), b.Rows() > 0
		case <-idle.C:
			err = r.persist(ctx, r.check)
		case err = <-ended:
		}
		if err != nil {
			return err
		}
		if written {
			idle.Reset(idleCheck)
		}
	}
}

// fill makes batches. The error is never nil.
func (r *runner) fill(ctx context.Context, from uint64, to chan<- *Batch) (err error) {
	defer r.catch(&err)
	_, joins := r.sink.(Joiner)
	f := filler{
		store: r.store, storeID: r.id, view: r.view, rows: r.config.Rows, bytes: r.config.Bytes, every: r.config.Every, joins: joins,
		called: r.config.Called(), first: r.files.Get().First, after: from, read: from, more: true,
		lost: func(number uint64, err error) {
			r.stats.lose()
			r.log.Error("destination: a change cannot be read and is left out", "number", number, "err", err)
		},
		done: r.erasuresDone,
		out: func(b *Batch) error {
			select {
			case to <- b:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		},
	}
	return f.run(ctx)
}

// catch turns a panic into an error. A bug in a destination, or in a library
// that it uses, must not end the server.
func (r *runner) catch(err *error) {
	if value := recover(); value != nil {
		*err = fmt.Errorf("panic: %v", value)
		r.log.Error("destination: panic", "err", r.clean(*err), "stack", string(debug.Stack()))
	}
}

// open prepares the destination, checks it, and returns where to begin.
func (r *runner) open(ctx context.Context) (from uint64, err error) {
	err = r.persist(ctx, func(ctx context.Context) error {
		p, err := r.prepare(ctx)
		if err != nil {
			return err
		}
		if from, err = r.begin(p); err != nil {
			return err
		}
		if err := r.checkPrepared(ctx); err != nil {
			return err
		}
		if first := r.files.Get().First; from < first || from > first && p == (Position{}) {
			if err := r.files.Set(func(s *kept.State) { s.First = from }); err != nil {
				return err
			}
		}
		return r.store.SetCursor(cursorName(r.config.Name), from)
	})
	if err == nil {
		r.stats.moved(from)
	}
	return from, err
}

// begin returns the number of the change after which to begin.
func (r *runner) begin(p Position) (uint64, error) {
	r.at, r.unkept = p, p.Number == Unkept
	switch {
	case r.unkept:
		return r.cursor()
	case r.turn != nil && r.config.Kind == config.File:
		if err := r.sameFolder(p); err != nil {
			return 0, err
		}
	}
	switch synced := r.store.Synced(); {
	case p == Position{}:
		return r.beginEmpty()
	case p.Store != r.id:
		return 0, &FinalError{Err: fmt.Errorf(
			"its position belongs to another store, up to change %d. If this server was restored from a backup, or its data directory was replaced, "+
				"decide from which change to send again: trackway destinations rewind %s --to NUMBER, TIME or beginning", p.Number, r.config.Called())}
	case p.Number > synced:
		return 0, &FinalError{Err: fmt.Errorf(
			"it has changes up to %d, but this store only has %d: it is an older copy of the store. "+
				"Decide from which change to send again: trackway destinations rewind %s --to NUMBER, TIME or beginning", p.Number, synced, r.config.Called())}
	default:
		return p.Number, nil
	}
}

// sameFolder returns an error if a folder lacks what the servers have written
// into it: then it is another folder on this server. The servers set the cursor
// after each write.
func (r *runner) sameFolder(p Position) error {
	cursor, err := r.cursor()
	if err != nil || p.Number >= cursor || cursor == r.files.Get().First {
		return err
	}
	return &FinalError{Err: fmt.Errorf(
		"the folder has changes up to %d, and the servers of this cluster have written up to %d: on each of them, path must lead to the same folder, on a file system "+
			"that they share. If it does, and something was removed there: trackway destinations rewind %s --to beginning", p.Number, cursor, r.config.Called())}
}

// cursor returns the store's cursor. It was set when the destination was added.
func (r *runner) cursor() (uint64, error) {
	all, err := r.store.Cursors()
	if err != nil {
		return 0, err
	}
	number, ok := all[cursorName(r.config.Name)]
	if !ok {
		return startAt(r.store, r.config.Start)
	}
	return number, nil
}

// beginEmpty returns where to begin if the destination is empty: at the start
// that the configuration gives, even if something was sent before.
func (r *runner) beginEmpty() (uint64, error) {
	cursor, err := r.cursor()
	if err != nil {
		return 0, err
	}
	start := cursor
	if r.config.Start != "now" {
		if start, err = startAt(r.store, r.config.Start); err != nil {
			return 0, err
		}
	}
	if start < cursor {
		r.log.Warn("destination: it is empty, so everything is sent again from its start", "start", start, "sent_before", cursor)
	}
	return min(start, cursor), nil
}

// deliver writes a batch, however long that takes, and notes the position.
func (r *runner) deliver(ctx context.Context, b *Batch) error {
	if b.Rows() > 0 {
		failures := 0
		err := r.persist(ctx, func(ctx context.Context) error {
			err := r.write(ctx, b, failures >= breaker)
			failures++
			return err
		})
		if err != nil {
			return err
		}
	}
	if b.Through == b.After {
		return nil
	}
	if err := r.store.SetCursor(cursorName(r.config.Name), b.Through); err != nil {
		return err
	}
	r.stats.moved(b.Through)
	return nil
}

// write writes a batch once. If check is set, because there were many errors,
// it first checks the destination: a row is cheaper to send than a batch. After
// an error, it first prepares the destination. If the position then shows that
// the batch has arrived, only the answer was lost. It writes the batch again
// nevertheless, because only the sink knows the rejects.
func (r *runner) write(ctx context.Context, b *Batch, check bool) error {
	if !r.prepared.Load() {
		p, err := r.prepare(ctx)
		if err != nil {
			return err
		}
		if err := r.compare(p, b); err != nil {
			return err
		}
		if check {
			if err := r.checkPrepared(ctx); err != nil {
				return err
			}
		}
	}
	if err := r.noteErasures(b.Erasures); err != nil {
		return err
	}
	var rejects []Reject
	// A stop lets the running write end, if that does not take long.
	lingering, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		if r.turn.Ended() { // another server writes
			cancel(turn.ErrLost)
			return
		}
		time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
	})
	defer stop()
	err := r.call(lingering, "write", writeTime, func(ctx context.Context) (err error) {
		rejects, err = r.sink.Write(ctx, b)
		return err
	}, trace.Number("trackway.destination.rows", b.Rows()))
	if err != nil {
		return err
	}
	if b.Through > b.After && !r.unkept {
		r.at = Position{r.id, b.Through}
	}
	r.stats.wrote(b, rejects)
	if err := r.forgetErasures(b.Erasures); err != nil {
		r.log.Error("destination: the erasures that were sent could not be noted, so they are sent again", "err", err)
	}
	if len(rejects) > 0 {
		if err := r.files.Add(rejects); err != nil {
			r.log.Error("destination: rejects cannot be noted", "err", err)
		}
	}
	return nil
}

// compare checks that the position of the destination after an error is one of
// the two possible ones: before the batch or after it.
func (r *runner) compare(p Position, b *Batch) error {
	switch {
	case r.unkept, p == r.at:
		return nil
	case b.Through > b.After && p == Position{r.id, b.Through}:
	case r.at == Position{} && p == Position{r.id, b.After}: // it was empty, and the write had begun
	default:
		return errMoved
	}
	r.at = p
	return nil
}

func (r *runner) prepare(ctx context.Context) (p Position, err error) {
	if err := r.turn.Confirm(); err != nil { // it would take the destination over
		return p, err
	}
	err = r.call(ctx, "prepare", prepareTime, func(ctx context.Context) (err error) {
		p, err = r.sink.Prepare(ctx)
		r.prepared.Store(err == nil)
		return err
	})
	return p, err
}

// check checks the destination, and prepares it first if necessary.
func (r *runner) check(ctx context.Context) error {
	if !r.prepared.Load() {
		p, err := r.prepare(ctx)
		if err != nil {
			return err
		}
		if !r.unkept && p != r.at {
			return errMoved
		}
	}
	return r.checkPrepared(ctx)
}

func (r *runner) checkPrepared(ctx context.Context) error {
	done := r.stats.checking()
	defer done()
	return r.call(ctx, "check", checkTime, r.sink.Check)
}

// call calls the sink while nobody else does. what and about describe the call
// in traces.
func (r *runner) call(ctx context.Context, what string, limit time.Duration, do func(context.Context) error, about ...trace.Attribute) error {
	select {
	case r.using <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-r.gone: // close waits for this
		<-r.using
		return errGone
	default:
		return r.callHeld(ctx, what, limit, do, about...)
	}
}

// callHeld calls the sink, and then lets others call it.
func (r *runner) callHeld(ctx context.Context, what string, limit time.Duration, do func(context.Context) error, about ...trace.Attribute) error {
	defer func() { <-r.using }()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	span := r.traces.Task(what+" "+r.config.Kind, append(about, trace.Text("trackway.destination.name", r.config.Name))...)
	err := do(ctx)
	if span.End(err != nil); err != nil {
		r.prepared.Store(false)
	}
	return err
}

// close closes the sink for good. It interrupts an operator who is using the
// sink, and nobody can call the sink afterwards. The runner must have stopped.
func (r *runner) close() {
	r.closing.Do(func() {
		close(r.gone)
		r.using <- struct{}{}
		if err := r.sink.Close(); err != nil {
			r.log.Warn("destination: closed with an error", "err", r.clean(err))
		}
	})
}
