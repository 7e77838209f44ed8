// Package counts counts events by type and hour. Its one idea: they are counted in memory as they are committed, so that an event
// costs no further write; what was counted is written now and then, together with the sequence number up to which it was, and what
// follows that in the log is counted again when the store is opened. So the counts are exact, whatever happened in between.
//
// Counting never fails what it counts: nobody waits for a write but those who would otherwise fill memory, and a row that cannot
// be read is reported, and left as it is, while the others go on.
package counts

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
)

// When the counts are written: memory holds some of them twice, and an opening reads as many events. While a write is under way
// up to maxBehind times as many may come.
const (
	mostCells   = 4096
	maxRecounts = 100_000
	maxBehind   = 8
)

// cell is what of a project's events is counted together. Type 0 is all types that are not counted by name.
type cell struct {
	by   query.By
	typ  uint32
	hour query.Hour
}

// row is how many events there are, and between which sequence numbers.
type row struct{ events, first, last uint64 }

func (a row) plus(b row) row {
	switch {
	case a.events == 0:
		return b
	case b.events == 0:
		return a
	}
	return row{a.events + b.events, min(a.first, b.first), max(a.last, b.last)}
}

// Event is of an event what is counted.
type Event struct {
	Project        uint32
	Type           string
	Time, Received trackway.Micros
	Seq            uint64
}

// Of returns what of e is counted.
func Of(e *trackway.Event) Event {
	return Event{e.Project, e.Type, e.Time, e.Received, e.Seq}
}

// types are those of a project that are counted by name.
type types struct {
	numbers map[string]uint32 // from 1
	names   []string          // by number, less one; it only grows at its end
}

// namedType is a type that was not written yet.
type namedType struct {
	project uint32
	number  uint32
	name    string
}

// generation is the counts of a stretch of the log that ends at a sequence number.
type generation struct {
	cells   map[uint32]map[cell]row // by project
	size    int                     // of cells
	events  int
	through uint64
}

// Counter counts the events of a store. Safe for concurrent use.
type Counter struct {
	db     *pebble.DB
	report func(error)

	// Most is how many cells are counted before they are written. It is set before the first use, if at all.
	Most int

	due        atomic.Bool // it is time to write
	full       atomic.Bool // memory has no room for more
	saving     atomic.Bool // by background
	background sync.WaitGroup
	damaged    sync.Once // a row was reported
	failed     atomic.Bool

	writing sync.Mutex   // held by the one that writes; taken before moving
	moving  sync.RWMutex // held while counts move from memory to the database, and while both are looked at; taken before mu

	mu      sync.Mutex // guards what follows, for as long as it takes to count; taken under the store's lock
	types   map[uint32]*types
	closed  bool // no type gets a number any more: a row of types is lost, and its number may be any
	unsaved []namedType
	young   generation
	old     generation // being written; its cells do not change
}

// New returns what counts in db. It is to be loaded. report is told of what cannot be read or written: of the first row that is
// damaged, and of a write that fails after one that did not.
func New(db *pebble.DB, report func(error)) *Counter {
	return &Counter{db: db, report: report, Most: mostCells, types: make(map[uint32]*types), young: newGeneration()}
}

func newGeneration() generation { return generation{cells: make(map[uint32]map[cell]row)} }

// Add counts events, in order of their numbers. It keeps nothing of them. REQUIRES: they are committed.
func (c *Counter) Add(events []Event) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &c.young
	for i := range events {
		e := &events[i]
		typ := c.number(e.Project, e.Type)
		g.add(e.Project, cell{query.ByTime, typ, query.HourOf(e.Time)}, e.Seq)
		g.add(e.Project, cell{query.ByReceived, typ, query.HourOf(e.Received)}, e.Seq)
		g.through = e.Seq
	}
	g.events += len(events)
	if g.size >= c.Most || g.events >= maxRecounts {
		c.due.Store(true)
		c.full.Store(g.size >= maxBehind*c.Most)
	}
}

func (g *generation) add(project uint32, k cell, seq uint64) {
	cells := g.cells[project]
	if cells == nil {
		cells = make(map[cell]row)
		g.cells[project] = cells
	}
	before := len(cells)
	cells[k] = cells[k].plus(row{1, seq, seq})
	g.size += len(cells) - before
}

func (c *Counter) typesOf(project uint32) *types {
	t := c.types[project]
	if t == nil {
		t = &types{numbers: make(map[string]uint32)}
		c.types[project] = t
	}
	return t
}

// number returns a type's number, giving it the next if it has none; 0 if there are enough already.
func (c *Counter) number(project uint32, name string) uint32 {
	t := c.typesOf(project)
	if n, ok := t.numbers[name]; ok {
		return n
	}
	if c.closed || len(t.names) >= query.MaxTypes {
		return 0
	}
	name = strings.Clone(name) // it is a part of a request's body
	t.names = append(t.names, name)
	n := uint32(len(t.names))
	t.numbers[name] = n
	c.unsaved = append(c.unsaved, namedType{project, n, name})
	return n
}

// ByName tells whether a project's events of a type are counted by it: they are, or there is still room and there are none.
func (c *Counter) ByName(project uint32, typ string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.types[project]
	if !c.closed && (t == nil || len(t.names) < query.MaxTypes) {
		return true
	}
	return t != nil && t.numbers[typ] != 0
}

// Due tells whether it is time to write.
func (c *Counter) Due() bool { return c.due.Load() }

// Room makes room in memory where there is none, by waiting for a write: whoever is about to commit events calls it first. What
// fails is reported.
func (c *Counter) Room() {
	if c.full.Load() {
		_ = c.Save() // reported
	}
}

// SaveSoon has what was counted written if it is time, with nobody waiting. What fails is reported.
func (c *Counter) SaveSoon() {
	if !c.due.Load() || !c.saving.CompareAndSwap(false, true) {
		return
	}
	c.background.Go(func() {
		defer c.saving.Store(false)
		_ = c.Save() // reported
	})
}

// Close writes what was counted. Nothing may be counted any more.
func (c *Counter) Close() error {
	c.background.Wait()
	return c.Save()
}
