// Package book keeps the contracts of event types: what events of a type
// must look like, and what becomes of those that do not. Events are checked by
// the server that receives them, before they reach the log. So all servers of a
// cluster keep the same, and replaying the log needs no contracts.
//
// The package counts what it checks, in memory and by demand of the contract.
// It keeps nothing of what clients send.
package book

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/contract"
	"trackway/internal/contract/schema"
	"trackway/internal/excerpt"
)

// Book has the contracts in force. It is safe for concurrent use.
type Book struct {
	inUse atomic.Pointer[contracts] // nil: there is no contract
}

type contracts struct{ projects map[uint32]*project }

type project struct {
	name  string
	types map[string]*agreed
}

// agreed is one contract in force.
type agreed struct {
	contract.Contract

	schema *schema.Schema
	tally  *tally
}

// New returns a book without contracts.
func New() *Book { return new(Book) }

// Reload puts the contracts of projects, by their tokens, in force. A contract
// that has not changed keeps its counts. The schemas were checked when the
// configuration was read.
func (b *Book) Reload(projects []trackway.Project, of map[string][]contract.Contract) {
	next := contracts{make(map[uint32]*project)}
	before := b.inUse.Load()
	for i := range projects {
		p := &projects[i]
		if len(of[p.Token]) == 0 {
			continue
		}
		types := make(map[string]*agreed, len(of[p.Token]))
		for _, c := range of[p.Token] {
			if old := before.of(p.Number, c.Type); old != nil && old.Action == c.Action && bytes.Equal(old.Schema, c.Schema) {
				types[c.Type] = old
				continue
			}
			s, wrong := schema.Parse(c.Schema)
			if wrong != nil {
				panic(fmt.Sprintf("bug: the contract of %s was not checked: %v", c.Type, wrong))
			}
			types[c.Type] = &agreed{c, s, newTally(time.Now())}
		}
		next.projects[p.Number] = &project{p.Name, types}
	}
	if len(next.projects) == 0 {
		b.inUse.Store(nil)
		return
	}
	b.inUse.Store(&next)
}

// of returns the contract of a type, or nil if it has none.
func (c *contracts) of(number uint32, typ string) *agreed {
	if c == nil {
		return nil
	}
	p := c.projects[number]
	if p == nil {
		return nil
	}
	return p.types[typ]
}

// Check checks a valid command of a project by the contract of its type. It
// returns the error for a command that is refused, and marks one that is
// quarantined. An event that keeps its contract costs no heap memory.
func (b *Book) Check(number uint32, c *trackway.Command) *trackway.Error {
	in := b.inUse.Load()
	if in == nil || c.Kind != trackway.AddEvent {
		return nil
	}
	of := in.of(number, c.Type)
	if of == nil {
		return nil
	}
	fault, ok := of.schema.Check(c.Properties)
	of.tally.count(c.Received)
	if ok {
		return nil
	}
	of.tally.broke(c.Received, &fault)
	switch of.Action {
	case contract.Refuse:
		return Refusal(of.schema, &fault)
	case contract.Quarantine:
		return mark(c, of.schema, &fault)
	}
	return nil
}

// Refusal returns the error for an event that breaks a schema. It names the
// property and what was expected, but shows no value.
func Refusal(s *schema.Schema, fault *schema.Fault) *trackway.Error {
	const most = 64
	d := &s.Demands()[fault.Demand]
	field := fieldOf(d)
	if fault.Name != "" {
		field += "." + excerpt.Of(fault.Name, most)
	}
	if d.Keyword == "required" {
		return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Required}
	}
	return &trackway.Error{Code: trackway.Invalid, Field: field, Reason: trackway.Expected, What: d.What}
}

func fieldOf(d *schema.Demand) string {
	if d.Path == "" {
		return "properties"
	}
	return "properties." + d.Path
}

// mark adds [trackway.Quarantined] to an event. An event that is too large for
// that is refused, so that every stored event can be sent and imported again.
func mark(c *trackway.Command, s *schema.Schema, fault *schema.Fault) *trackway.Error {
	const mostWords = 200
	d := &s.Demands()[fault.Demand]
	words := strings.TrimPrefix(fieldOf(d), "properties.") + ": "
	if d.Keyword == "required" {
		words += "is required"
	} else {
		words += "expected " + d.What
	}
	one := trackway.Property{Name: trackway.Quarantined, Value: canonjson.AppendString(nil, excerpt.Of(words, mostWords))}
	at, marked := slices.BinarySearchFunc(c.Properties, one.Name, func(p trackway.Property, name string) int { return strings.Compare(p.Name, name) })
	properties := slices.Clone(c.Properties) // those of the command may share memory with others
	more := len(one.Name) + len(one.Value) + len(`"":,`)
	if marked {
		properties[at] = one
	} else {
		properties = slices.Insert(properties, at, one)
	}
	if c.Bytes+more > trackway.MaxEventBytes || len(properties) > canonjson.MaxMembers {
		return Refusal(s, fault)
	}
	c.Properties, c.Bytes = properties, c.Bytes+more
	return nil
}

const (
	shownHours = 24
	slots      = shownHours + 1
	mostBroken = 100 // demands whose breaches are counted by themselves
	anHour     = trackway.Micros(3600 * 1e6)
)

// tally counts the events of a contract by hour.
type tally struct {
	since   time.Time
	hours   [slots]hour
	checked atomic.Uint64
	broken  atomic.Uint64

	mu      sync.Mutex // guards what follows, and the beginning of an hour; held for a few steps
	demands map[int]*breach
}

type hour struct {
	of              atomic.Int64 // the number of the hour
	checked, broken atomic.Uint64
}

// breach counts the events that broke a demand.
type breach struct {
	newest int64 // hour
	hours  [slots]uint64
	got    canonjson.Kind // the last time
	last   trackway.Micros
}

func newTally(now time.Time) *tally { return &tally{since: now, demands: make(map[int]*breach)} }

// slot returns the counts of the hour of a time.
func (t *tally) slot(at trackway.Micros) *hour {
	n := int64(at / anHour)
	h := &t.hours[n%slots]
	if h.of.Load() != n {
		t.mu.Lock()
		if h.of.Load() < n {
			h.checked.Store(0)
			h.broken.Store(0)
			h.of.Store(n)
		}
		t.mu.Unlock()
	}
	return h
}

func (t *tally) count(at trackway.Micros) {
	t.checked.Add(1)
	t.slot(at).checked.Add(1)
}

func (t *tally) broke(at trackway.Micros, fault *schema.Fault) {
	t.broken.Add(1)
	t.slot(at).broken.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.demands[fault.Demand]
	if b == nil {
		if len(t.demands) >= mostBroken {
			return
		}
		b = new(breach)
		t.demands[fault.Demand] = b
	}
	b.pass(int64(at / anHour))
	b.hours[int64(at/anHour)%slots]++
	b.got, b.last = fault.Got, at
}

// pass begins the hours up to one.
func (b *breach) pass(n int64) {
	for h := max(b.newest+1, n-slots+1); h <= n; h++ {
		b.hours[h%slots] = 0
	}
	b.newest = max(b.newest, n)
}

// sum returns the numbers of the last hours, with the running one.
func (t *tally) sum(now trackway.Micros, hours int64) (checked, broken uint64) {
	n := int64(now / anHour)
	for i := range t.hours {
		if of := t.hours[i].of.Load(); of > n-hours && of <= n {
			checked += t.hours[i].checked.Load()
			broken += t.hours[i].broken.Load()
		}
	}
	return checked, min(broken, checked)
}
