package store

import (
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/query"
)

// mirror is the knowledge of a follower that sees only the changes, and looks
// up a customer if a change is about it.
type mirror struct {
	name      string
	at        uint64
	customers map[trackway.Customer]mirrored
	events    map[uint64]trackway.Event
}

type mirrored struct {
	project uint32
	into    trackway.Customer // the customer it was merged into, or 0
	profile trackway.Profile
}

// follow reads some of the changes that it has not seen, and stores its
// position.
func (m *mirror) follow(s *Store, through uint64) error {
	for some, err := range s.Changes(m.at, through) {
		if err != nil {
			return err
		}
		for i := range some {
			if err := m.take(s, &some[i]); err != nil {
				return err
			}
			m.at = some[i].Number
		}
	}
	return s.SetCursor(m.name, m.at)
}

func (m *mirror) take(s *Store, c *change.Change) error {
	switch c.Kind {
	case change.Stored:
		m.events[c.Number] = *c.Event
		return nil
	case change.Expired:
		return m.expired(s, c)
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	now, err := v.Survivor(c.Project, c.Customer)
	if err != nil {
		return err
	}
	if now != c.Customer {
		m.customers[c.Customer] = mirrored{project: c.Project, into: now}
	} else if p, err := v.Profile(c.Project, now); err == nil {
		m.customers[now] = mirrored{project: c.Project, profile: *p}
	} else {
		return err
	}
	if c.Kind == change.Changed {
		return nil
	}
	return v.Events(c.Project, now, false, func(e *trackway.Event) bool {
		if _, known := m.events[e.Seq]; known {
			m.events[e.Seq] = owned(e)
		}
		return true
	})
}

func owned(e *trackway.Event) trackway.Event {
	one := *e
	one.Properties = slices.Clone(e.Properties)
	return one
}

func (m *mirror) expired(s *Store, c *change.Change) error {
	for seq, e := range m.events {
		if e.Project != c.Project || seq > c.Expired.Highest {
			continue
		}
		there := false
		for some, err := range s.Changes(seq-1, seq) {
			if err != nil {
				return err
			}
			there = some[0].Event != nil
		}
		if !there {
			delete(m.events, seq)
		}
	}
	return nil
}

// differs compares the store with a mirror that has seen all changes.
func (m *mirror) differs(s *Store) (string, error) {
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	customers, events := make(map[trackway.Customer]mirrored), make(map[uint64]trackway.Event)
	for _, project := range []uint32{1, 2} {
		if err := v.Profiles(project, func(p *trackway.Profile) bool {
			if p != nil {
				customers[p.Customer] = mirrored{project: project, profile: *p}
			}
			return true
		}); err != nil {
			return "", err
		}
		for n := trackway.Customer(1); n < s.nextCustomer; n++ {
			if into, err := v.Survivor(project, n); err != nil {
				return "", err
			} else if into != n && into != 0 {
				customers[n] = mirrored{project: project, into: into}
			}
		}
	}
	if err := v.Log(query.LogRange{}, func(e *trackway.Event) bool {
		events[e.Seq] = owned(e)
		return true
	}); err != nil {
		return "", err
	}
	got := maps.Clone(m.customers)
	for n, c := range got { // the survivor may have been merged since
		for c.into != 0 && got[c.into].into != 0 {
			c.into = got[c.into].into
		}
		got[n] = c
	}
	if d := diff(customers, got); d != "" {
		return "customers (-want): " + d, nil
	}
	if d := diff(events, m.events); d != "" {
		return "events (-want): " + d, nil
	}
	return "", nil
}

func newMirror(name string) *mirror {
	return &mirror{name: name, customers: make(map[trackway.Customer]mirrored), events: make(map[uint64]trackway.Event)}
}

// TestMirror: from whatever position it continues, a follower of the changes
// ends up with exactly what the store has after erasures and retention: the
// customers and merges, their properties and identifiers, and their events. Two
// mirrors follow at their own pace. A power cut may lose commands whose effects
// a mirror has already seen.
func TestMirror(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		fs := vfs.NewCrashableMem()
		m := newSimulation(t, fs)
		defer func() {
			if err := m.store.Close(); err != nil {
				t.Fatal(err)
			}
		}()
		mirrors := []*mirror{newMirror("one"), newMirror("another")}
		follow := func(t *rapid.T) {
			f := rapid.SampledFrom(mirrors).Draw(t, "mirror")
			if err := f.follow(m.store, f.at+uint64(rapid.IntRange(1, 20).Draw(t, "changes"))); err != nil {
				t.Fatal(err)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"single": func(t *rapid.T) { m.apply(t, 1) },
			"batch":  func(t *rapid.T) { m.apply(t, rapid.IntRange(2, 8).Draw(t, "commands")) },
			"erase":  m.erase,
			"expire": m.expire,
			"reopen": m.reopen,
			"follow": follow,
			"cut": func(t *rapid.T) {
				cmds := []trackway.Command{drawCommand(t, m.now+1), drawCommand(t, m.now+2)}
				if err := commit(m.store, cmds, make([]trackway.Result, len(cmds))); err != nil {
					t.Fatal(err)
				}
				follow(t)
				after := fs.CrashClone(vfs.CrashCloneCfg{}) // what was not synced is lost
				if err := m.store.Close(); err != nil {
					t.Fatal(err)
				}
				fs, m.fs = after, after
				m.open(t)
				cursors, err := m.store.Cursors()
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range mirrors {
					f.at = cursors[f.name]
				}
			},
		})
		mustBeConsistent(t, m.store)
		for _, f := range append(mirrors, newMirror("from the beginning")) {
			if err := f.follow(m.store, change.NoCursor); err != nil {
				t.Fatal(err)
			}
			if d, err := f.differs(m.store); d != "" || err != nil {
				t.Fatalf("%s: %s %v", f.name, d, err)
			}
		}
	})
}
