// Package catalogue knows the types of events of each project, and their
// properties: since when, how often, of which JSON types, and of which shape.
// It learns from the changes that the store has on its disk, beside the path of
// requests, and looks at a bounded number of them at a time. Its memory is
// bounded for any events: see [table] for what has to make room. It keeps no
// example that few customers have: see [values]. docs/adr/0025-catalogue.md
// gives the reasons.
package catalogue

import (
	"context"
	"errors"
	"hash/maphash"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/durable"
)

// Log is the log of all changes, with the events among them. It is safe for
// concurrent use.
type Log interface {
	// Synced returns the number up to which all changes are on the disk.
	Synced() uint64

	// Changes iterates over the changes after a number, up to another one, in
	// order and in batches. An error ends the iteration; a change that cannot
	// be read does not.
	Changes(after, through uint64) iter.Seq2[[]change.Change, error]

	// LastErasure returns the id of the last erasure, or 0.
	LastErasure() uint64
}

const (
	every   = 2 * time.Second // the time between two rounds
	saveOne = 5 * time.Minute // how often the file is written
)

// Catalogue is what is known of all projects. It is safe for concurrent use.
type Catalogue struct {
	log    Log
	store  string // its name: another store has other numbers of changes
	path   string // of the file
	most   int    // types and properties, in all
	logger *slog.Logger
	seed   maphash.Seed
	bytes  int       // of a change, on the average. Only rounds use it
	saved  time.Time // when the file was written. Only rounds use it
	stale  bool      // the file may have examples from before an erasure. Only rounds use it

	mu       sync.Mutex // guards what follows; held for as long as a batch of events takes
	position uint64     // all changes up to this one have been looked at, or skipped
	skipped  uint64     // changes
	erasure  uint64     // the last one whose examples are forgotten
	rules    map[uint32]*rules
	projects map[uint32]*project
	changed  bool // since the file was written
}

// rules are what the configuration says about a project.
type rules struct {
	name   string
	hidden map[string]bool // properties without examples, in lower case
}

// Options are what a catalogue needs. All fields are required.
type Options struct {
	Log    Log
	Store  string // the name of the store
	Path   string // of the file that keeps the catalogue
	Most   int    // the number of types and properties to know, of all projects. Each takes up to 1 KB
	Logger *slog.Logger
}

// New returns a catalogue as its file has it. If there is no such file, or it
// is damaged or that of another store, the catalogue is empty, and learns from
// the first event of the store on. Call [Catalogue.Reload] before using it.
func New(o Options) *Catalogue {
	c := &Catalogue{
		log: o.Log, store: o.Store, path: o.Path, most: o.Most, logger: o.Logger,
		seed: maphash.MakeSeed(), bytes: usualBytes, projects: map[uint32]*project{},
	}
	if err := c.load(); err != nil {
		c.logger.Warn("the catalogue of events is learned again", "err", err)
		c.position, c.skipped, c.projects = 0, 0, map[uint32]*project{}
	}
	if err := durable.Clean(o.Path); err != nil {
		c.logger.Warn("unfinished files of the catalogue cannot be removed", "err", err)
	}
	c.takeForgotten() // erasures that the file does not know
	return c
}

// Reload puts the projects of a configuration in force. It forgets all others,
// and what it knows too much for the room that each project has now.
func (c *Catalogue) Reload(projects []trackway.Project) {
	next := make(map[uint32]*rules, len(projects))
	for i := range projects {
		p := &projects[i]
		r := &rules{name: p.Name, hidden: map[string]bool{}}
		for _, names := range [][]string{p.Personal, p.Hard, p.Soft} {
			for _, name := range names {
				r.hidden[strings.ToLower(name)] = true
			}
		}
		next[p.Number] = r
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rules = next
	for number, p := range c.projects {
		r := next[number]
		if r == nil {
			delete(c.projects, number)
			continue
		}
		p.fit(c.shareLocked())
		p.eachProperty(func(name string, of *property) {
			of.judged = false
			if r.hides(name) {
				of.values = nil
			}
		})
	}
	for number := range next {
		if c.projects[number] == nil { // what is skipped from now on may be about it
			c.projects[number] = newProject(c.shareLocked(), c.skipped)
		}
	}
	c.changed = true
}

// shareLocked returns the room that each project has.
func (c *Catalogue) shareLocked() share { return shareOf(c.most / max(len(c.rules), 1)) }

// Run learns until ctx ends.
func (c *Catalogue) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failed := false
	c.saved = time.Now()
	for {
		err := c.step(time.Now())
		if err != nil && !failed {
			c.logger.Error("the catalogue of events does not learn", "err", err)
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err := c.save(); err != nil {
				c.logger.Error("the catalogue of events was not saved", "err", err)
			}
			return nil
		}
	}
}

// step learns, forgets and saves what is due now. It forgets even if the log
// cannot be read.
func (c *Catalogue) step(now time.Time) error {
	err := c.round()
	c.takeForgotten()
	if !c.stale && now.Sub(c.saved) < saveOne {
		return err
	}
	failed := c.save()
	c.saved, c.stale = now, c.stale && failed != nil
	return errors.Join(err, failed)
}

// Forget drops all examples, because a customer was erased. No example is about
// one customer, but none may outlive the customers that had its value.
func (c *Catalogue) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forgetLocked()
}

func (c *Catalogue) forgetLocked() {
	for _, p := range c.projects {
		p.eachProperty(func(_ string, of *property) { of.values = nil })
	}
	c.changed = true
}

// takeForgotten drops the examples if there was an erasure since the last call,
// on any server that writes to the same log. Then the file has to lose the
// examples, too.
func (c *Catalogue) takeForgotten() {
	last := c.log.LastErasure()
	c.mu.Lock()
	defer c.mu.Unlock()
	if last != c.erasure {
		c.erasure, c.stale = last, true
		c.forgetLocked()
	}
}
