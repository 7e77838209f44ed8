package destination

import (
	"context"
	"path/filepath"
	"time"

	"trackway/internal/destination/kept"
	"trackway/internal/destination/turn"
	"trackway/internal/sleep"
)

// Shared is a store that several servers keep. One of them has the turn, and
// sends to the destinations. When it has lost it, another one goes on from what
// the store says.
type Shared interface {
	turn.Store

	// Leading reports whether this server should send, and since when: the term
	// rises with each change.
	Leading() (term uint64, leading bool)
}

// ours is the store of a server that has the turn. A cursor that it sets after
// the turn has no effect.
type ours struct {
	Store

	turn *turn.Turn
}

// SetCursor implements [Store].
func (o ours) SetCursor(name string, number uint64) error { return o.turn.SetCursor(name, number) }

func (m *Manager) storeOf(t *turn.Turn) Store {
	if t == nil {
		return m.Store
	}
	return ours{m.Store, t}
}

// open opens what a destination keeps.
func (m *Manager) open(name string, t *turn.Turn, reject func(reason string)) (kept.Record, error) {
	if m.Shared == nil {
		return kept.OpenFiles(filepath.Join(m.Dir, name), reject)
	}
	return kept.OpenNotes(m.Shared, t, name, reject)
}

// Acting reports whether this server sends to the destinations, if there are
// any.
func (m *Manager) Acting() bool {
	_, acting := m.acting()
	return acting
}

// acting returns what [Manager.Acting] does, and the runners, if they send.
// When the turn has just begun, none of them has read yet where its destination
// is.
func (m *Manager) acting() (runners []*managed, acting bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.Shared == nil || len(m.runners) == 0 {
		return m.runners, true
	}
	if m.turn == nil || m.runners[0].turn != m.turn || m.turn.Ended() {
		return nil, false
	}
	return m.runners, true
}

// shared returns the cursors of a shared store, or nil if it is not shared.
func (m *Manager) shared() map[string]uint64 {
	if m.Shared == nil {
		return nil
	}
	all, err := m.Store.Cursors()
	if err != nil {
		m.Log.Error("destinations: cursors cannot be read", "err", err)
		all = map[string]uint64{} // as if the destinations had nothing
	}
	return all
}

// How often a server looks whether it leads, and how long it waits after it
// could not take the turn.
const (
	lookPause = 100 * time.Millisecond
	takePause = time.Second
)

// takeTurns takes the turn whenever this server leads, until ctx ends.
func (m *Manager) takeTurns(ctx context.Context) {
	for pause := lookPause; sleep.For(ctx, pause) == nil; {
		term, leading := m.Shared.Leading()
		m.mu.Lock()
		t, of := m.turn, m.term
		m.mu.Unlock()
		pause = lookPause
		switch {
		case t != nil && (!leading || term != of || t.Ended()):
			m.end(t)
		case t == nil && leading && (len(m.list()) > 0 || kept.Entrusted(m.Dir)):
			if err := m.take(term); err != nil {
				m.Log.Warn("destinations: this server leads, and cannot begin to send yet", "err", err)
				pause = takePause
			}
		}
	}
}

// take takes the turn, and begins to send.
func (m *Manager) take(term uint64) error {
	t, err := turn.Take(m.Shared)
	if err != nil {
		return err
	}
	id, err := kept.Identify(m.Shared, t, m.Dir)
	if err != nil {
		return err
	}
	m.ops.Lock()
	defer m.ops.Unlock()
	m.mu.Lock()
	m.id, m.turn, m.term = id, t, term
	m.mu.Unlock()
	m.armLocked(t, nil)
	return nil
}

// armLocked replaces the runners by others that send. If that fails, the turn
// ends, and this server takes it again. The new ones inherit the counts of old
// ones.
func (m *Manager) armLocked(t *turn.Turn, old []*managed) {
	passive := m.list()
	armed := make([]*managed, 0, len(passive))
	for _, p := range passive {
		r, err := m.newRunner(p.config, p.view, t)
		if err != nil {
			m.Log.Error("destinations: none can be sent to", "destination", p.config.Name, "err", p.clean(err))
			m.closeLocked(armed)
			t.Lose()
			return
		}
		for _, o := range old {
			if o.config.Name == r.config.Name && o.turn != nil {
				at := r.stats.at()
				r.stats.inherit(&o.stats)
				r.stats.moved(at)
			}
		}
		armed = append(armed, r)
	}
	m.closeLocked(passive)
	m.mu.Lock()
	m.runners = armed
	m.mu.Unlock()
	m.beginLocked(armed, t)
	if len(armed) > 0 {
		m.Log.Info("destinations: this server sends to them now", "destinations", len(armed))
	}
}

// end ends the turn. It cuts running writes off, because another server may
// write the same at any moment.
func (m *Manager) end(t *turn.Turn) {
	t.Lose()
	m.ops.Lock()
	defer m.ops.Unlock()
	armed := m.list()
	m.closeLocked(armed)
	var passive []*managed
	for _, a := range armed {
		r, err := m.newRunner(a.config, a.view, nil)
		if err != nil {
			m.Log.Error("destinations: one cannot be opened again", "destination", a.config.Name, "err", a.clean(err))
			r = a // it is closed, and shows what there is
		}
		passive = append(passive, r)
	}
	m.mu.Lock()
	m.runners, m.turn = passive, nil
	m.mu.Unlock()
	if len(armed) > 0 {
		m.Log.Info("destinations: another server sends to them now", "destinations", len(armed))
	}
}
