package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/log/local"
	"trackway/internal/query"
	"trackway/internal/store/cache"
	"trackway/internal/store/counts"
	"trackway/internal/store/damage"
	"trackway/internal/store/digest"
	"trackway/internal/store/erased"
	"trackway/internal/store/follow"
	"trackway/internal/store/format"
	"trackway/internal/store/overlay"
	"trackway/internal/store/reading"
	"trackway/internal/store/recent"
	"trackway/internal/store/registry"
	"trackway/internal/store/seen"
	"trackway/internal/store/timeline"
	"trackway/internal/store/totals"
)

// machine is the state together with the code that changes it by one entry
// after another. The effect of an entry depends on nothing but the entry and
// the state.
type machine struct {
	*digest.Ledger

	db        *pebble.DB
	counts    *counts.Counter
	damaged   *damage.Ledger
	pending   erased.Schedule // erasures whose bytes may still be in files
	versions  cache.Versions
	applied   atomic.Uint64 // index of the last applied entry
	committed atomic.Uint64 // number of the last committed change
	key       atomic.Pointer[timeline.Key]
	synced    follow.Watermark
	sync      func() error // tests replace it to show that it makes changes durable

	// mu is held while an identity is resolved, because that reads and then
	// writes. It guards the fields below. Reads of the database, and commits
	// that do not wait for the disk, may happen under it; an fsync may not.
	mu           sync.Mutex
	nextSeq      uint64
	nextCustomer trackway.Customer
	nextErasure  uint64
	cache        cache.Cache
	used         *cache.Used
	usage        totals.Tally
	staged       *overlay.Overlay // by the current transaction
	scratch      scratch

	// Limits, which tests lower: see maxMoved and maxKept.
	mostMoved, mostKept int
	// for tests: receives how much moved under one hold; may be nil
	held func(moved int)
}

// Apply implements [local.Machine].
func (m *machine) Apply(index uint64, e entry.Entry) (err error) {
	if e.Kind() == entry.KindCommands {
		m.counts.Room()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.begin()
	defer t.close()
	defer t.catch(&err)
	if err := t.apply(e); err != nil {
		return err
	}
	return t.commit(index)
}

// apply stages the effects of an entry.
func (t *tx) apply(e entry.Entry) (err error) {
	switch e := e.(type) {
	case *entry.Commands:
		return t.commands(e)
	case *entry.Register:
		return registry.Register(t.from, t.b, e)
	case *entry.Assign:
		return registry.Assign(t.from, t.b, e)
	case *entry.HashKey:
		if t.nextSeq == 1 && !t.m.Keyed() {
			t.newKey, err = registry.SetHashKey(t.b, e)
		}
		return err
	case *entry.Refused:
		t.m.usage.Add(e.Project, e.At, query.Usage{Refused: e.Commands})
		t.touch(e.Project)
		return nil
	case *entry.Rewrite:
		return t.rewrite(e)
	case *entry.Erase:
		return t.erase(e)
	case *entry.Forget:
		return t.forget(e)
	case *entry.Settle:
		return t.settle(e)
	case *entry.Expire:
		return t.expire(e)
	case *entry.Cursor:
		return follow.SetCursor(t.b, e.Name, e.Number, t.nextSeq-1)
	case *entry.Notes:
		return follow.SetNotes(t.b, t.from, e, t.nextSeq-1)
	case *entry.Once:
		return t.once(e)
	case *entry.Digest:
		t.digest = e
		return nil
	}
	return fmt.Errorf("entry of unknown kind %d", e.Kind())
}

// once stages the effects of an entry, unless it took effect before.
func (t *tx) once(e *entry.Once) error {
	p, err := seen.Look(t.from, e)
	if err != nil || e.Again || e.Late {
		return err
	}
	t.first = e
	if err := t.apply(e.Entry); err != nil {
		return err
	}
	return p.Note(t.b, e)
}

// Applied implements [local.Machine].
func (m *machine) Applied() uint64 { return m.applied.Load() }

// Sync implements [local.Machine]. Only two things about its record matter: its
// place in the write-ahead log, and that Pebble shares one fsync among all
// waiting callers. The record says how far the log was synced before, which
// tells damage from a torn end: see package journal. A failed fsync does not
// return: see [Options].
func (m *machine) Sync() error {
	seq := m.committed.Load()
	if err := m.sync(); err != nil {
		return err
	}
	m.synced.Raise(seq)
	return nil
}

// scratch is memory that transactions reuse.
type scratch struct {
	key, value, object []byte
	found              []*identity.Holder
	ids                [][2]uint64
	// empty between transactions, since it refers to requests' bodies
	counted []counts.Event
	touched []uint32 // projects
	entries []movedEntry
	changed cache.Changed // empty between transactions
	expired []change.Change
	feed    recent.Stager
}

// tx is a batch under construction with the effects of one entry. It exists
// only while the machine's lock is held.
type tx struct {
	*scratch
	m            *machine
	b            *overlay.Overlay // what is staged
	from         reading.Reader   // the database with the staged changes on top
	nextSeq      uint64
	nextCustomer trackway.Customer
	scheduled    *erased.Record // the next erasure, or nil
	digest       *entry.Digest  // to take, or nil
	first        *entry.Once    // names the entry, or nil
	newKey       *timeline.Key  // of hashes, or nil
	committing   bool
	committed    bool
	// entries, properties and identifiers moved by merges, and other unbounded
	// work of commands: see DESIGN.md
	moved int
}

// begin starts a transaction.
func (m *machine) begin() *tx {
	t := &tx{scratch: &m.scratch, m: m, b: m.staged, from: m.staged, nextSeq: m.nextSeq, nextCustomer: m.nextCustomer}
	t.m.usage.Begin()
	t.touched, t.expired = t.touched[:0], t.expired[:0]
	return t
}

// close ends the transaction. If it was not committed, perhaps because of a
// panic, the cache must be emptied, since it holds what was staged.
func (t *tx) close() {
	if !t.committed {
		t.m.cache.Empty()
	}
	clear(t.counted)
	t.counted = t.counted[:0]
	clear(t.found)
	t.changed.Empty()
	t.b.Reset()
}

// commit stages what belongs to the entry's effects, and commits everything.
func (t *tx) commit(index uint64) error {
	if err := errors.Join(t.stageHolders(), t.stageChanges(), t.m.usage.Stage(t.b), t.m.counts.Number(t.b, t.counted), t.stageErasure()); err != nil {
		return err
	}
	t.key = append(t.key[:0], format.KeyApplied...)
	t.value = binary.BigEndian.AppendUint64(t.value[:0], index)
	if err := t.b.Set(t.key, t.value, nil); err != nil {
		return err
	}
	t.committing = true
	if err := t.b.Commit(pebble.NoSync); err != nil {
		return fmt.Errorf("%w: %w", local.ErrNotCommitted, err)
	}
	t.m.nextSeq, t.m.nextCustomer, t.committed = t.nextSeq, t.nextCustomer, true
	if t.newKey != nil {
		t.m.key.Store(t.newKey)
	}
	if t.digest != nil {
		t.m.Take(t.m.db, index, t.digest.After, t.b)
	}
	t.m.applied.Store(index)
	t.m.committed.Store(t.nextSeq - 1)
	if t.m.held != nil {
		t.m.held(t.moved)
	}
	t.m.usage.Committed()
	t.m.counts.Add(t.counted)
	if t.scheduled != nil {
		t.m.pending.Add(t.m.nextErasure, t.scheduled.Asked)
		t.m.nextErasure++
	}
	t.m.versions.Changed(t.touched, index, t.first)
	return nil
}

// catch turns a panic into an error, unless the batch may already be committed:
// then other entries must not be applied again.
func (t *tx) catch(err *error) {
	if t.committing {
		return
	}
	if value := recover(); value != nil {
		*err = &local.PanicError{Value: value, Stack: debug.Stack()}
	}
}

// touch records that a project's data changes.
func (t *tx) touch(project uint32) {
	if n := len(t.touched); n == 0 || t.touched[n-1] != project {
		t.touched = append(t.touched, project)
	}
}

// get reads a key. The value is valid until release is called.
func (t *tx) get(key []byte) (value []byte, release func() error, err error) {
	value, closer, err := t.from.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, func() error { return nil }, nil
	} else if err != nil {
		return nil, nil, err
	}
	return value, closer.Close, nil
}
