package logtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"trackway/internal/entry"
)

// fails is the type of a command, or the name of a cursor, that makes the
// machine fail.
const fails = "fails"

var errMachine = errors.New("the machine has failed")

// Machine is a machine that a test can look into. It notes what it applies. The
// zero value is ready; its fields are set before it is used.
type Machine struct {
	Most         int // commands carried out for an entry; 0: all
	SyncFails    bool
	SyncPanics   bool
	NotCommitted error // what Apply returns if nothing can be committed; nil: something can
	Home         any   // belongs to the log of the machine, also after a crash

	mu      sync.Mutex
	stored  []string // what was applied: indexes, and types of events or kinds of entries
	index   uint64   // of the last entry
	durable int      // of what is stored
	durably uint64   // index of the last entry that is durable
	events  []string // types, by number less one
	tries   int
	syncs   int

	holding sync.Mutex // held while nothing may be applied
	waiting chan struct{}
}

// Apply implements a machine.
func (m *Machine) Apply(index uint64, e entry.Entry) error {
	if m.waiting != nil {
		select {
		case m.waiting <- struct{}{}:
		default:
		}
	}
	m.holding.Lock()
	defer m.holding.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	if m.NotCommitted != nil {
		return m.NotCommitted
	}
	if index != m.index+1 {
		return fmt.Errorf("entry %d after %d", index, m.index)
	}
	stored, events := len(m.stored), len(m.events)
	if err := m.apply(index, e); err != nil {
		m.stored, m.events = m.stored[:stored], m.events[:events]
		return err
	}
	m.index = index
	return nil
}

func (m *Machine) apply(index uint64, e entry.Entry) error {
	switch e := e.(type) {
	case *entry.Commands:
		return m.commands(index, e)
	case *entry.Cursor:
		m.stored = append(m.stored, fmt.Sprint(index, " cursor"))
		if e.Name == fails {
			return errMachine
		}
	case *entry.Expire:
		e.Removed = len(e.Events)
		m.stored = append(m.stored, fmt.Sprint(index, " expire"))
	default:
		m.stored = append(m.stored, fmt.Sprint(index, " kind ", e.Kind()))
	}
	return nil
}

func (m *Machine) commands(index uint64, e *entry.Commands) error {
	for i := range e.Requests {
		e.Requests[i].Done = 0
	}
	done := 0
	for i := range e.Requests {
		r := &e.Requests[i]
		for r.Done < len(r.Commands) && (m.Most == 0 || done < m.Most) {
			typ := r.Commands[r.Done].Type
			m.stored, m.events = append(m.stored, fmt.Sprint(index, " ", typ)), append(m.events, typ)
			if typ == fails {
				return errMachine
			}
			r.Results[r.Done].Seq = uint64(len(m.events))
			r.Done++
			done++
		}
	}
	return nil
}

// Applied implements a machine.
func (m *Machine) Applied() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.index
}

// Sync implements a machine.
func (m *Machine) Sync() error {
	if m.SyncPanics {
		panic("a test's")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncs++
	if m.SyncFails {
		return errMachine
	}
	m.durable, m.durably = len(m.stored), m.index
	return nil
}

// Crashed returns the machine as it is after a crash: without everything that
// is not on the disk.
func (m *Machine) Crashed() *Machine {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored := slices.Clone(m.stored[:m.durable])
	return &Machine{
		Home: m.Home, stored: stored, index: m.durably, durable: m.durable, durably: m.durably,
	}
}

// Stored lists what was applied: the index of its entry, and the type of each
// event or the kind of the entry.
func (m *Machine) Stored() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.stored)
}

// Event returns the type of an event.
func (m *Machine) Event(number uint64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events[number-1]
}

// Syncs returns how often somebody has waited for the disk.
func (m *Machine) Syncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// Tries returns how often Apply was called.
func (m *Machine) Tries() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tries
}

// Hold makes entries wait until release is called.
func (m *Machine) Hold() (release func()) {
	m.waiting = make(chan struct{}, 1)
	m.holding.Lock()
	return m.holding.Unlock
}

// AwaitHeld returns once an entry waits. REQUIRES: [Machine.Hold] was called.
func (m *Machine) AwaitHeld() { <-m.waiting }
