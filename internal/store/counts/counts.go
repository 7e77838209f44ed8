// Package counts counts events by type and hour. Its one idea: they are counted
// in memory as they are committed, so that an event costs no further write;
// what was counted is written now and then, together with the sequence number
// up to which it was, and what follows that in the log is counted again when
// the store is opened. So the counts are exact, whatever happened in between.
//
// Counting never fails what it counts: nobody waits for a write but those who
// would otherwise fill memory, and a row that cannot be read is reported, and
// left as it is, while the others go on.
package counts

import (
	"encoding/binary"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/store/format"
)

// When the counts are written: memory holds some of them twice, and an opening
// reads as many events. While a write is under way up to maxBehind times as
// many may come.
const (
	mostCells   = 4096
	maxRecounts = 100_000
	maxBehind   = 8
)

// cell is what of a project's events is counted together. Type 0 is all types
// that are not counted by name.
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

	number uint32 // of the type, once it has one; 0: it is counted with those that have none
}

// Of returns what of e is counted.
func Of(e *trackway.Event) Event {
	return Event{Project: e.Project, Type: e.Type, Time: e.Time, Received: e.Received, Seq: e.Seq}
}

// types are those of a project that are counted by name.
type types struct {
	numbers map[string]uint32 // from 1
	names   []string          // by number, less one; it only grows at its end
}

// namedType is a type that gets a number.
type namedType struct {
	project uint32
	number  uint32
	name    string
}

// generation is the counts of a stretch of the log that ends at a sequence
// number.
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

	// Most is how many cells are counted before they are written. It is set
	// before the first use, if at all.
	Most int

	due        atomic.Bool // it is time to write
	full       atomic.Bool // memory has no room for more
	saving     atomic.Bool // by background
	background sync.WaitGroup
	damaged    sync.Once // a row was reported
	failed     atomic.Bool
	saved      atomic.Uint64 // up to which event counts are in the database

	writing sync.Mutex   // held by the one that writes; taken before moving
	moving  sync.RWMutex // held while counts move from memory to the database, and while both are looked at; taken before mu

	mu     sync.Mutex // guards what follows, for as long as it takes to count; taken under the store's lock
	types  map[uint32]*types
	closed bool        // no type gets a number any more: a row of types is lost, and its number may be any
	named  []namedType // by the events that are to be added next
	young  generation
	old    generation // being written; its cells do not change
}

// New returns what counts in db. It is to be loaded. report is told of what
// cannot be read or written: of the first row that is damaged, and of a write
// that fails after one that did not.
func New(db *pebble.DB, report func(error)) *Counter {
	return &Counter{db: db, report: report, Most: mostCells, types: make(map[uint32]*types), young: newGeneration()}
}

func newGeneration() generation { return generation{cells: make(map[uint32]map[cell]row)} }

// Writer is what a batch is written into.
type Writer interface {
	Set(key, value []byte, o *pebble.WriteOptions) error
}

// Number gives numbers to the types of events and stages those that are new in
// b, with the events: so a type's number depends on the events before it, and
// not on when counts are saved. The events are added once b is committed; if it
// never is, the numbers are given again.
func (c *Counter) Number(b Writer, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named = c.named[:0]
	for i := range events {
		e := &events[i]
		if e.number = c.number(e.Project, e.Type); e.number != 0 || c.closed {
			continue
		}
		n := uint32(1)
		if t := c.types[e.Project]; t != nil {
			n += uint32(len(t.names))
		}
		for _, t := range c.named {
			if t.project == e.Project {
				n++
			}
		}
		if n > query.MaxTypes {
			continue
		}
		name := strings.Clone(e.Type) // it is a part of a request's body
		e.number, c.named = n, append(c.named, namedType{e.Project, n, name})
		if err := b.Set(format.Key(nil).Type(e.Project, name), binary.BigEndian.AppendUint32(nil, n), nil); err != nil {
			return err
		}
	}
	return nil
}

// number returns the number of a type, 0 if it has none.
func (c *Counter) number(project uint32, name string) uint32 {
	if t := c.types[project]; t != nil {
		if n, ok := t.numbers[name]; ok {
			return n
		}
	}
	for _, t := range c.named {
		if t.project == project && t.name == name {
			return t.number
		}
	}
	return 0
}

// Add counts events, in order of their numbers. It keeps nothing of them.
// REQUIRES: they are committed, with the batch of the last call of
// [Counter.Number], which was with these events.
func (c *Counter) Add(events []Event) {
	if len(events) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.named {
		of := c.typesOf(t.project)
		of.names = append(of.names, t.name)
		of.numbers[t.name] = t.number
	}
	c.named = c.named[:0]
	for i := range events {
		c.addLocked(&events[i])
	}
	if g := &c.young; g.size >= c.Most || g.events >= maxRecounts {
		c.due.Store(true)
		c.full.Store(g.size >= maxBehind*c.Most)
	}
}

func (c *Counter) addLocked(e *Event) {
	g := &c.young
	g.add(e.Project, cell{query.ByTime, e.number, query.HourOf(e.Time)}, e.Seq)
	g.add(e.Project, cell{query.ByReceived, e.number, query.HourOf(e.Received)}, e.Seq)
	g.through = e.Seq
	g.events++
}

// Again counts an event of the log that is not counted in the database. Its
// type has a number since the event was stored, or never gets one.
func (c *Counter) Again(e Event) {
	c.mu.Lock()
	e.number = c.number(e.Project, e.Type)
	c.mu.Unlock()
	c.Add([]Event{e})
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

// ByName tells whether a project's events of a type are counted by it: they
// are, or there is still room and there are none.
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

// Room makes room in memory where there is none, by waiting for a write:
// whoever is about to commit events calls it first. What fails is reported.
func (c *Counter) Room() {
	if c.full.Load() {
		_ = c.Save() // reported
	}
}

// SaveSoon has what was counted written if it is time, with nobody waiting.
// What fails is reported.
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
