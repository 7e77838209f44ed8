package destination

import (
	"context"
	"errors"
	"fmt"

	"trackway/internal/destination/kept"
	"trackway/internal/destination/turn"
)

var (
	errStopping = errors.New("the server is stopping")
	errGone     = errors.New("a reload has changed or removed this destination meanwhile")
	errHangs    = errors.New("a call to this destination hangs: if it is a folder on another machine, check whether that machine can be reached")
	errInUse    = errors.New("a check, a verification or another command is using the destination: try again when that is over")
)

// Pause stops a destination until [Manager.Resume], even across restarts.
// Meanwhile its lag grows.
func (m *Manager) Pause(name string) error {
	m.ops.Lock()
	defer m.ops.Unlock()
	r, err := m.find(name)
	if err != nil {
		return err
	}
	if err := r.files.Set(func(s *kept.State) { s.Paused = true }); err != nil {
		return err
	}
	r.stats.pause(true)
	return m.stopLocked(r)
}

// Resume continues a destination that was paused, or that waits for an
// operator.
func (m *Manager) Resume(name string) error {
	m.ops.Lock()
	defer m.ops.Unlock()
	r, err := m.find(name)
	if err != nil {
		return err
	}
	if r.config.Paused {
		return fmt.Errorf("destination %q is paused in the configuration: remove paused there, and reload", name)
	}
	if r.files.Get().Paused {
		if err := r.files.Set(func(s *kept.State) { s.Paused = false }); err != nil {
			return err
		}
	}
	if err := m.stopLocked(r); err != nil { // it may have stopped by itself
		return err
	}
	m.startLocked(r)
	return nil
}

// Rewind makes a destination continue after another change: beginning, now, the
// number of a change, or a time. It returns the number of that change. The
// changes after it are written again, which doubles nothing if the destination
// can recognize them. Rewind also makes a destination that had the changes of
// another store accept this one. If another operator is using the destination,
// Rewind does not wait but fails, because pauses and reloads would have to wait
// for it.
func (m *Manager) Rewind(ctx context.Context, name, to string) (uint64, error) {
	m.ops.Lock()
	defer m.ops.Unlock()
	r, err := m.find(name)
	if err != nil {
		return 0, err
	}
	number, err := startAt(m.Store, to)
	if err != nil {
		return 0, err
	}
	if err := m.stopLocked(r); err != nil {
		return 0, err
	}
	defer m.startLocked(r)
	select {
	case r.using <- struct{}{}:
	default:
		return 0, errInUse
	}
	ctx, done := r.operation(ctx)
	defer done()
	err = r.callHeld(ctx, "rewind", rewindTime, r.preparing(func(ctx context.Context) error {
		return r.sink.Rewind(ctx, Position{Store: m.id, Number: number})
	}))
	if err == nil {
		err = r.store.SetCursor(cursorName(name), number)
	}
	if err != nil {
		return 0, r.cleaned(err)
	}
	r.stats.moved(number)
	return number, r.files.Set(func(s *kept.State) { s.First = min(s.First, number) })
}

// Check makes a destination write something, read it back, and remove it.
func (m *Manager) Check(ctx context.Context, name string) error {
	r, err := m.find(name)
	if err != nil {
		return err
	}
	done := r.stats.checking()
	defer done()
	return r.cleaned(r.use(ctx, r.sink.Check))
}

// Use calls do with the sink of a destination and its view, while nothing else
// uses the sink. Meanwhile writes wait. If prepared is set, it connects the
// destination first.
func (m *Manager) Use(ctx context.Context, name string, prepared bool, do func(context.Context, Sink, *View) error) error {
	r, err := m.find(name)
	if err != nil {
		return err
	}
	if !prepared {
		return r.cleaned(do(ctx, r.sink, r.view))
	}
	return r.cleaned(r.use(ctx, func(ctx context.Context) error { return do(ctx, r.sink, r.view) }))
}

// use calls the sink for an operator, at a time when nothing else uses it.
func (r *runner) use(ctx context.Context, do func(context.Context) error) error {
	ctx, done := r.operation(ctx)
	defer done()
	return r.call(ctx, "use", operatorTime, r.preparing(do))
}

// operation returns a context for an operator's action. The context ends when
// the server stops, and before the sink is closed. The caller must call done.
func (r *runner) operation(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		select {
		case <-r.ending:
			cancel(errStopping)
		case <-r.turn.Over():
			cancel(turn.ErrLost)
		case <-r.gone:
			cancel(errGone)
		case <-ended:
			cancel(nil)
		}
	}()
	return ctx, func() { close(ended) }
}

// preparing returns a function that calls the sink for an operator. If the last
// call failed, or this is the first one, it prepares the sink first, and the
// runner prepares it again afterwards. A server that does not know yet that its
// turn has ended must not touch the sink.
func (r *runner) preparing(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := r.turn.Confirm(); err != nil {
			return err
		}
		if !r.prepared.Load() {
			if _, err := r.sink.Prepare(ctx); err != nil {
				return err
			}
		}
		return do(ctx)
	}
}

// cleaned returns an error without credentials.
func (r *runner) cleaned(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(r.clean(err)) // the error itself may still contain what its text no longer shows
}

// Rejects returns the rows that a destination rejected last, oldest first.
func (m *Manager) Rejects(name string) ([]Reject, error) {
	r, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return r.files.Rejects()
}
