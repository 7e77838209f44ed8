package destination

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/config"
	"trackway/internal/destination/kept"
	"trackway/internal/destination/turn"
	"trackway/internal/trace"
)

// ErrUnknown is the error of a command about a destination that is not in the
// configuration.
var ErrUnknown = errors.New("there is no such destination in the configuration; after a change of the file, reload the server")

// Options holds what a [Manager] needs.
type Options struct {
	Dir   string // for the files of destinations, in the data directory; created if necessary
	Store Store
	Open  func(config.Destination) (Sink, error) // creates the sink of a destination, without connecting
	Log   *slog.Logger

	Traces *trace.Tracer // of calls of sinks; nil: none
	Shared Shared        // nil: only this server has the store

	// Jitter returns how long to wait before another attempt: at most most. If
	// it is nil, the wait is a random part of that.
	Jitter func(most time.Duration) time.Duration
}

// Manager runs all destinations, and carries out what operators ask for. It is
// safe for concurrent use.
type Manager struct {
	Options

	// ops is held while runners are started or stopped, even while a partner is
	// called.
	ops     sync.Mutex
	running func(*runner) (stop func() bool) // starts a runner; nil unless Run is running
	ending  chan struct{}                    // closed when Run ends

	mu      sync.Mutex // guards the fields below; nobody waits for anything while it is held
	runners []*managed // by name
	id      string     // of the store; empty if it is shared, until this server had the turn
	turn    *turn.Turn // nil: this server does not have it
	term    uint64     // of the turn
}

// managed is a runner, and the means to stop it.
type managed struct {
	*runner

	stop  func() bool // waits until it has stopped, but not forever; nil: it was not started
	added bool        // the reload that created it has set its cursor
}

// New returns a manager without destinations. See [Manager.Reload].
func New(o Options) (*Manager, error) {
	const ownerOnly = 0o700
	if err := os.MkdirAll(o.Dir, ownerOnly); err != nil {
		return nil, err
	}
	var id string
	if o.Shared == nil {
		var err error
		if id, err = kept.StoreID(o.Dir); err != nil {
			return nil, fmt.Errorf("destinations: %w", err)
		}
	}
	if o.Jitter == nil {
		o.Jitter = func(most time.Duration) time.Duration { return rand.N(most) + 1 } //nolint:gosec // it only spreads attempts
	}
	return &Manager{Options: o, id: id, ending: make(chan struct{})}, nil
}

// StoreID returns the id that distinguishes this store from others in
// destinations.
func (m *Manager) StoreID() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

// Run sends changes until ctx ends, and then returns nil. A running write may
// take a few seconds more. Run may be called only once.
func (m *Manager) Run(ctx context.Context) error {
	var all sync.WaitGroup
	m.ops.Lock()
	m.running = func(r *runner) func() bool {
		ctx, cancel := context.WithCancel(ctx)
		ended := make(chan struct{})
		all.Go(func() {
			defer close(ended)
			if err := r.run(ctx); err != nil {
				r.stats.stop(r.clean(err))
				r.log.Error("destination: stopped until an operator acts", "err", r.clean(err))
			}
		})
		return func() bool { cancel(); return endsSoon(ended) }
	}
	for _, r := range m.list() {
		m.startLocked(r)
	}
	m.ops.Unlock()
	if m.Shared != nil {
		m.takeTurns(ctx)
	}
	<-ctx.Done()
	close(m.ending)
	m.ops.Lock()
	defer m.ops.Unlock()
	m.running = nil
	all.Wait()
	m.closeLocked(m.list())
	return nil
}

// startLocked starts a runner, unless it is paused. "Locked" refers to the lock
// ops, here and below.
func (m *Manager) startLocked(r *managed) {
	paused := r.config.Paused || r.files.Get().Paused
	r.stats.pause(paused)
	if m.running == nil || paused || r.stop != nil || m.Shared != nil && r.turn == nil {
		return
	}
	r.stats.begin()
	r.stop = m.running(r.runner)
}

// stopLocked stops a runner. A call of the sink may hang although its context
// has ended, for example if it uses a network file system that is down.
// stopLocked then gives up, so that other destinations are not affected.
func (m *Manager) stopLocked(r *managed) error {
	if r.stop == nil {
		return nil
	}
	if !r.stop() {
		return errHangs
	}
	r.stop = nil
	return nil
}

// endsSoon waits a short time for a channel to be closed, and reports whether
// it was.
func endsSoon(ended <-chan struct{}) bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ended:
		return true
	case <-timer.C:
		return false
	}
}

// closeLocked stops runners and closes their sinks, all at the same time,
// because a running write may take some seconds. If a call of a sink hangs, the
// sink is closed once that call returns.
func (m *Manager) closeLocked(all []*managed) {
	var closing sync.WaitGroup
	for _, r := range all {
		closing.Go(func() {
			err := m.stopLocked(r)
			closed := make(chan struct{})
			go func() {
				defer close(closed)
				r.close()
			}()
			if err != nil || !endsSoon(closed) {
				r.log.Error("destination: it is closed once its call no longer hangs", "err", errHangs)
			}
		})
	}
	closing.Wait()
}

func (m *Manager) list() []*managed {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.runners)
}

func (m *Manager) find(name string) (*managed, error) {
	runners, acting := m.acting()
	if !acting {
		return nil, turn.ErrLost
	}
	for _, r := range runners {
		if r.config.Name == name {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%q: %w", name, ErrUnknown)
}

// Reload prepares other destinations. The projects must have their numbers. It
// does everything that can fail: after an error, nothing has changed. The
// caller then calls either apply, which puts the destinations in force, or
// drop, which undoes the preparation. Only the first of these calls has an
// effect. Destinations that stay the same continue undisturbed. If a
// destination is removed, what an operator is doing with it ends.
func (m *Manager) Reload(next []config.Destination, projects []trackway.Project) (apply, drop func(), err error) {
	old := m.list()
	var all, added []*managed
	for i := range next {
		view := NewView(&next[i], projects)
		same := slices.IndexFunc(old, func(r *managed) bool {
			return m.Shared == nil && reflect.DeepEqual(r.config, next[i]) && r.view.same(view)
		})
		if same >= 0 {
			all = append(all, old[same])
			continue
		}
		r, err := m.newRunner(next[i], view, nil)
		if err != nil {
			m.undo(added)
			return nil, nil, fmt.Errorf("destination %q: %w", next[i].Name, err)
		}
		added, all = append(added, r), append(all, r)
	}
	slices.SortFunc(all, func(a, b *managed) int { return strings.Compare(a.config.Name, b.config.Name) })
	var once sync.Once
	return func() { once.Do(func() { m.apply(all) }) }, func() { once.Do(func() { m.undo(added) }) }, nil
}

// undo closes runners that never came into force, and removes their cursors,
// which would otherwise keep events from expiring.
func (m *Manager) undo(added []*managed) {
	for _, r := range added {
		r.close()
		if !r.added {
			continue
		}
		if err := m.Store.SetCursor(cursorName(r.config.Name), change.NoCursor); err != nil {
			r.log.Error("destination: its cursor stays until the next reload, so events may be kept for it", "err", err)
		}
	}
}

// newRunner returns a runner. If the store is shared, one without a turn only
// shows what there is.
func (m *Manager) newRunner(c config.Destination, view *View, t *turn.Turn) (*managed, error) {
	sink, err := m.Open(c)
	if err != nil {
		return nil, err
	}
	r := &runner{
		config: c, view: view, sink: sink, store: m.Store, id: m.StoreID(), turn: t, log: m.Log.With("destination", c.Name, "kind", c.Kind),
		jitter: m.Jitter,
		traces: m.Traces,
		using:  make(chan struct{}, 1),
		ending: m.ending,
		gone:   make(chan struct{}),
	}
	if t != nil {
		r.store = ours{m.Store, t}
	}
	var added bool
	r.files, err = m.open(c.Name, t, func(reason string) { r.stats.rejectLocked(reason, 1) })
	if err == nil && (t != nil || m.Shared == nil) {
		r.stats.missed = r.files.Get().Missed
		added, err = m.setFirstCursor(r)
	}
	if err != nil {
		return nil, errors.Join(err, sink.Close())
	}
	return &managed{runner: r, added: added}, nil
}

// setFirstCursor sets the cursor of a new destination, so that the events that
// it will get do not expire before. It reports whether the destination is new.
func (m *Manager) setFirstCursor(r *runner) (added bool, err error) {
	all, err := m.Store.Cursors()
	if err != nil {
		return false, err
	}
	number, known := all[cursorName(r.config.Name)]
	if !known {
		if before := r.files.Get().Position; before != nil { // it was removed from the configuration, and has returned
			number = min(*before, m.Store.Synced())
		} else if number, err = startAt(m.Store, r.config.Start); err != nil {
			return false, fmt.Errorf("start: %w", err)
		} else if err := r.files.Set(func(s *kept.State) { s.First = number }); err != nil {
			return false, err
		}
		if err := r.store.SetCursor(cursorName(r.config.Name), number); err != nil {
			return false, err
		}
	}
	r.stats.moved(number)
	return !known, nil
}

// apply replaces the runners.
func (m *Manager) apply(next []*managed) {
	m.ops.Lock()
	defer m.ops.Unlock()
	gone := slices.DeleteFunc(m.list(), func(r *managed) bool { return slices.Contains(next, r) })
	m.closeLocked(gone)
	for _, r := range gone {
		i := slices.IndexFunc(next, func(n *managed) bool { return n.config.Name == r.config.Name })
		switch {
		case m.Shared != nil: // it is opened again
		case i < 0:
			m.forget(r)
		default:
			next[i].files = r.files // it may have changed since
			next[i].stats.inherit(&r.stats)
		}
	}
	m.mu.Lock()
	t := m.turn
	m.runners = next
	m.mu.Unlock()
	if m.Shared == nil {
		m.beginLocked(next, nil)
	} else if t != nil {
		m.armLocked(t, gone)
	}
}

// beginLocked starts runners, and forgets the cursors of all others.
func (m *Manager) beginLocked(all []*managed, t *turn.Turn) {
	for _, r := range all {
		m.startLocked(r)
	}
	m.forgetOthers(all, t)
}

// forget removes the cursor of a destination that is no longer configured, so
// that nothing waits for it. If the destination returns, it continues where it
// was.
func (m *Manager) forget(r *managed) {
	position := r.stats.at()
	err := r.files.Set(func(s *kept.State) { s.Position = &position })
	if err == nil {
		err = m.Store.SetCursor(cursorName(r.config.Name), change.NoCursor)
	}
	if err != nil {
		r.log.Error("destination: its cursor stays, so events may be kept for it", "err", err)
	}
}

// forgetOthers removes the cursors of destinations that were removed from the
// configuration while the server was not running.
func (m *Manager) forgetOthers(next []*managed, t *turn.Turn) {
	all, err := m.Store.Cursors()
	if err != nil {
		m.Log.Error("destinations: cursors cannot be read", "err", err)
		return
	}
	for cursor, number := range all {
		name, ours := strings.CutPrefix(cursor, cursorName(""))
		if !ours || slices.ContainsFunc(next, func(r *managed) bool { return r.config.Name == name }) {
			continue
		}
		f, err := m.open(filepath.Base(name), t, func(string) {})
		if err == nil {
			err = f.Set(func(s *kept.State) { s.Position = &number })
		}
		if err = errors.Join(err, m.storeOf(t).SetCursor(cursor, change.NoCursor)); err != nil {
			m.Log.Error("destinations: the cursor of a removed one cannot be forgotten", "destination", name, "err", err)
		}
	}
}

// List returns the status of all destinations, in the order of their names. If
// another server sends to them, it returns none.
func (m *Manager) List() []Status {
	all, _ := m.acting()
	list := make([]Status, len(all))
	for i, r := range all {
		list[i] = r.status()
	}
	return list
}
