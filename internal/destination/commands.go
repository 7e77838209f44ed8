package destination

import (
	"context"
	"errors"
	"fmt"
)

var (
	errStopping = errors.New("the server is stopping")
	errGone     = errors.New("a reload has changed or removed this destination meanwhile")
	errHangs    = errors.New("a call to this destination does not end: if it is a folder on another machine, see whether that can be reached")
	errInUse    = errors.New("a check, a verification or another command is using the destination: try again when that is over")
)

// Pause stops a destination until [Manager.Resume], also over restarts. Its lag
// grows meanwhile.
func (m *Manager) Pause(name string) error {
	m.ops.Lock()
	defer m.ops.Unlock()
	r, err := m.find(name)
	if err != nil {
		return err
	}
	if err := r.files.set(func(s *state) { s.Paused = true }); err != nil {
		return err
	}
	r.stats.pause(true)
	return m.stopLocked(r)
}

// Resume lets a destination run that was paused, or that waits for an operator.
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
	if r.files.get().Paused {
		if err := r.files.set(func(s *state) { s.Paused = false }); err != nil {
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
// number of a change, or a time. The changes after that are written again,
// which doubles nothing if the destination can tell. It also makes a
// destination accept this store that had the changes of another one. It returns
// the number. It does not wait for what another operator does with the
// destination, but fails: pauses and reloads would have to wait, too.
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
	err = r.callHeld(ctx, rewindTime, r.preparing(func(ctx context.Context) error {
		return r.sink.Rewind(ctx, Position{Store: m.id, Number: number})
	}))
	if err == nil {
		err = m.Store.SetCursor(cursorName(name), number)
	}
	if err != nil {
		return 0, r.cleaned(err)
	}
	r.stats.moved(number)
	return number, r.files.set(func(s *state) { s.First = min(s.First, number) })
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
// uses the sink. Writes wait meanwhile. With prepared, the destination is
// connected before.
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

// use calls the sink for an operator, when nobody else does.
func (r *runner) use(ctx context.Context, do func(context.Context) error) error {
	ctx, done := r.operation(ctx)
	defer done()
	return r.call(ctx, operatorTime, r.preparing(do))
}

// operation returns a context for what an operator does: it ends with the
// server, and before the sink is closed. done must be called.
func (r *runner) operation(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		select {
		case <-r.ending:
			cancel(errStopping)
		case <-r.gone:
			cancel(errGone)
		case <-ended:
			cancel(nil)
		}
	}()
	return ctx, func() { close(ended) }
}

// preparing returns a call of the sink for an operator. If the last call
// failed, or this is the first one, it prepares the sink before, and the runner
// does so again after it.
func (r *runner) preparing(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if !r.prepared.Load() {
			if _, err := r.sink.Prepare(ctx); err != nil {
				return err
			}
		}
		return do(ctx)
	}
}

// cleaned returns an error that shows no credentials.
func (r *runner) cleaned(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(r.clean(err)) // the error itself may contain what its text lacks
}

// Rejects returns the last rows that a destination has rejected, oldest first.
func (m *Manager) Rejects(name string) ([]Reject, error) {
	r, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return r.files.all()
}
