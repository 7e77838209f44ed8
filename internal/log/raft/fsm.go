package raft

import (
	"fmt"
	"io"

	hraft "github.com/hashicorp/raft"

	"trackway/internal/entry"
	"trackway/internal/entry/version"
)

// fsm applies the entries on which the servers have agreed to the machine.
type fsm struct{ *Log }

// applied is what became of an entry on this server.
type applied struct {
	once *entry.Once // with its results; nil: the machine had it already
	err  error       // why this server cannot go on
}

// Apply implements [hraft.FSM].
func (f *fsm) Apply(log *hraft.Log) any {
	if err := f.broken(); err != nil {
		return applied{err: err}
	}
	if log.Index <= f.machine.Applied() {
		return applied{}
	}
	once, err := f.apply(log)
	if err != nil {
		f.fatal(fmt.Errorf("entry %d cannot be applied, and other servers may have applied it: %w", log.Index, err))
		return applied{err: err}
	}
	f.progress.Reach(log.Index)
	f.snapshots.grown(len(log.Data))
	return applied{once: once}
}

func (f *fsm) apply(log *hraft.Log) (*entry.Once, error) {
	e, err := entry.Decode(log.Data)
	if err != nil {
		return nil, err
	}
	once, ok := e.(*entry.Once)
	if !ok {
		return nil, fmt.Errorf("it is of kind %d", e.Kind())
	}
	if err := f.noteEntries(version.Of(once)); err != nil {
		return nil, err
	}
	return once, f.machine.Apply(log.Index, once)
}

// Snapshot implements [hraft.FSM].
func (f *fsm) Snapshot() (hraft.FSMSnapshot, error) {
	if err := f.broken(); err != nil {
		return nil, err
	}
	return own{f.Log}, nil
}

// Restore implements [hraft.FSM]. It replaces the state by the one that was
// received. The stream that it is given is empty.
func (f *fsm) Restore(io.ReadCloser) error {
	if err := f.broken(); err != nil {
		return err
	}
	return f.snapshots.install()
}

// own is a snapshot of this server's own state. The state is on the disk
// already, so the snapshot consists of noting how far it goes.
type own struct{ *Log }

// Persist implements [hraft.FSMSnapshot].
func (o own) Persist(to hraft.SnapshotSink) error {
	s, ok := to.(*sink)
	if !ok {
		return fmt.Errorf("bug: a sink of type %T", to)
	}
	s.own = true
	if err := o.machine.Sync(); err != nil {
		return fmt.Errorf("sync the state: %w", err)
	}
	return nil
}

// Release implements [hraft.FSMSnapshot].
func (own) Release() {}
