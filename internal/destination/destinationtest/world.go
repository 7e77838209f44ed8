package destinationtest

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"trackway"
	"trackway/internal/config"
	"trackway/internal/destination"
	"trackway/internal/store"
)

// World is a store with random content, and knows what its destinations should
// hold.
type World struct {
	Store    *store.Store
	Projects []trackway.Project
	Random   *rand.Rand

	t        *testing.T
	now      trackway.Micros
	personal []string
}

// NewWorld returns an empty world with the projects demo and shop. Its choices
// depend only on the seed. Its store is in memory.
func NewWorld(t *testing.T, seed uint64) *World {
	t.Helper()
	s, err := store.Open("store", store.Options{FS: vfs.NewMem(), Fatal: func(err error) { panic(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &World{
		Store: s, Random: rand.New(rand.NewPCG(seed, 0)), t: t, now: 1_700_000_000_000_000, personal: []string{"email", "name"}, //nolint:gosec // of a test
		Projects: []trackway.Project{
			{Name: "demo", Token: "11111111-1111-4111-8111-111111111111", Hard: []string{"registered"}, Soft: []string{"cookie"}},
			{Name: "shop", Token: "22222222-2222-4222-8222-222222222222", Hard: []string{"registered"}, Soft: []string{"cookie"}},
		},
	}
	if err := s.Register(w.Projects); err != nil {
		t.Fatal(err)
	}
	return w
}

// values holds values that are awkward to store for one system or another.
var values = []string{
	`1`, `0`, `-1.50`, `1e300`, `123456789012345678901234567890`, `true`, `null`, `"x"`, `""`, `"O'Neil; DROP TABLE events; --"`, `"\u0000"`,
	`"\\N"`, `"tab\tline\nreturn\r"`, `"\"quoted\""`, `"日本語 🙂"`, `"<a&b>"`, `{"a":[1,{"b":null}],"seq":7}`, `[]`, `{}`, `"2018-08-05T12:20:25.5Z"`,
}

var names = []string{"email", "name", "seq", "customer", "properties", "total", "Mixed Case", "ünïcode", "a.b", "$set", "select"}

func (w *World) properties() (properties []trackway.Property) {
	last := -1
	for range w.Random.IntN(4) {
		i := w.Random.IntN(len(names))
		if i <= last {
			break
		}
		last = i
		properties = append(properties, trackway.Property{Name: names[i], Value: []byte(values[w.Random.IntN(len(values))])})
	}
	slices.SortFunc(properties, func(a, b trackway.Property) int { return strings.Compare(a.Name, b.Name) })
	return properties
}

func (w *World) ids() []trackway.Identifier {
	const people = 12
	registered := trackway.Identifier{Name: "registered", Value: fmt.Sprintf("r%d", w.Random.IntN(people)), Hard: true}
	cookie := trackway.Identifier{Name: "cookie", Value: fmt.Sprintf("c'%d", w.Random.IntN(2*people))}
	switch w.Random.IntN(4) {
	case 0:
		return []trackway.Identifier{registered}
	case 1:
		return []trackway.Identifier{registered, cookie}
	}
	return []trackway.Identifier{cookie}
}

// Act sends some commands, which add events, change customers, and merge them.
func (w *World) Act(commands int) {
	w.t.Helper()
	for commands > 0 {
		n := min(commands, 1+w.Random.IntN(trackway.MaxCommands))
		commands -= n
		cmds := make([]trackway.Command, n)
		for i := range cmds {
			w.now += 1 + trackway.Micros(w.Random.IntN(1e6))
			c := trackway.Command{
				Kind: trackway.AddEvent, Project: w.Projects[w.Random.IntN(len(w.Projects))].Number, IDs: w.ids(), Type: types[w.Random.IntN(len(types))],
				Time: w.now - trackway.Micros(w.Random.IntN(1e9)), TimeGiven: true, Received: w.now, Properties: w.properties(),
			}
			if w.Random.IntN(3) == 0 {
				c.Kind, c.Type = trackway.UpdateCustomer, ""
			}
			for _, p := range c.Properties {
				c.Bytes += len(p.Name) + len(p.Value)
			}
			cmds[i] = c
		}
		if err := w.Store.Apply(cmds, make([]trackway.Result, n)); err != nil {
			w.t.Fatal(err)
		}
	}
}

var types = []string{"purchase", "page_visit", "page_leave", "it's", "日本"}

// Erase erases a customer, if there is one.
func (w *World) Erase() {
	w.t.Helper()
	v := w.Store.Snapshot()
	project := w.Projects[w.Random.IntN(len(w.Projects))].Number
	c, err := v.Find(project, w.ids()[0])
	if err := v.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err == nil && c != 0 {
		_, err = w.Store.Erase(project, c, w.personal, w.now)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// Want returns what a destination should hold.
func (w *World) Want(d *config.Destination) *Tables {
	w.t.Helper()
	v := w.Store.Snapshot()
	defer func() { _ = v.Close() }() // what was read is read
	view := destination.NewView(d, w.Projects)
	var b destination.Batch
	for some, err := range w.Store.Changes(0, w.Store.Synced()) {
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range some {
			c := &some[i]
			if c.Event != nil {
				if row, ok := view.Event(c.Event); ok {
					b.Events = append(b.Events, row)
				}
				continue
			}
			if row, ok, err := view.Customer(v, c); err != nil {
				w.t.Fatal(err)
			} else if ok {
				b.Customers = append(b.Customers, row)
			}
		}
	}
	b.Erasures = w.erasures(b.Customers)
	var t Tables
	t.add(&b)
	return &t
}

// erasures returns the erasures of some customers.
func (w *World) erasures(of []destination.Customer) (found []destination.Erasure) {
	w.t.Helper()
	erased := make(map[trackway.Customer]bool)
	for i := range of {
		erased[of[i].Customer] = of[i].Erased
	}
	for i := range w.Projects {
		p := &w.Projects[i]
		list, err := w.Store.Erasures(p.Number)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range list {
			if erased[e.Customer] {
				found = append(found, destination.Erasure{ID: e.ID, Project: p.Name, Customer: e.Customer, Asked: e.Asked, Done: e.Done})
			}
		}
	}
	return found
}

// Manager returns a manager of one destination, which has not been started. Its
// sink comes from open. Attempts follow each other without a pause.
func (w *World) Manager(dir string, d config.Destination, open func() destination.Sink) *destination.Manager {
	w.t.Helper()
	m, err := destination.New(destination.Options{
		Dir: dir, Store: w.Store, Log: slog.New(slog.DiscardHandler), Jitter: func(time.Duration) time.Duration { return time.Millisecond },
		Open: func(config.Destination) (destination.Sink, error) { return open(), nil },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	apply, _, err := m.Reload([]config.Destination{d}, w.Projects)
	if err != nil {
		w.t.Fatal(err)
	}
	apply()
	return m
}
