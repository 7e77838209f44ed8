package stores

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/partition"
	"trackway/internal/query"
	"trackway/internal/store"
)

// open opens n stores in a directory.
func open(t *testing.T, dir string, n int) *Set {
	t.Helper()
	var all []*store.Store
	for i := range n {
		one, err := store.Open(filepath.Join(dir, partition.Name(i)), store.Options{
			Cache: 1 << 20, Known: 1 << 20, MemTable: 1 << 20, Name: fmt.Sprint("store ", i), Fatal: func(err error) { panic(err) },
		})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return Of(all...)
}

func opened(t *testing.T, n int) *Set {
	t.Helper()
	s := open(t, t.TempDir(), n)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func projects(n int) []trackway.Project {
	all := make([]trackway.Project, n)
	for i := range all {
		all[i] = trackway.Project{
			Name: fmt.Sprint("project ", i), Token: fmt.Sprintf("%08d-0000-0000-0000-000000000000", i),
			Hard: []string{"registered"}, Soft: []string{"cookie"}, Personal: []string{"email"},
		}
	}
	return all
}

func register(t *testing.T, s *Set, n int) []trackway.Project {
	t.Helper()
	all := projects(n)
	if err := s.Register(all); err != nil {
		t.Fatal(err)
	}
	return all
}

func event(p *trackway.Project, user string, at int) trackway.Command {
	return trackway.Command{
		Kind: trackway.AddEvent, Project: p.Number, IDs: []trackway.Identifier{{Name: "registered", Value: user, Hard: true}},
		Type: "buy", Time: trackway.Micros(at), Received: trackway.Micros(at), Properties: []trackway.Property{{Name: "email", Value: json.RawMessage(`"x"`)}},
	}
}

func apply(t *testing.T, s *Set, cmds ...trackway.Command) []trackway.Result {
	t.Helper()
	results := make([]trackway.Result, len(cmds))
	if err := s.Apply(cmds, results); err != nil {
		t.Fatal(err)
	}
	return results
}

func placesOf(all []trackway.Project) (parts []int) {
	for i := range all {
		parts = append(parts, partition.Of(all[i].Number))
	}
	return parts
}

// Projects stay where they are, whatever the order of the configuration. A new
// one goes where the fewest changes are.
func TestPlaces(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir, 3)
	all := register(t, s, 5)
	if got, want := placesOf(all), []int{0, 1, 2, 0, 1}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i, n := range []int{5, 1, 9, 5, 1} { // 10, 2 and 9 events, and customers
		for j := range n {
			apply(t, s, event(&all[i], "a", j+1))
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, 3)
	defer func() { _ = s.Close() }()
	again := projects(9)
	slices.Reverse(again)
	if err := s.Register(again); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(again)
	for i := range all {
		if again[i].Number != all[i].Number {
			t.Errorf("%s has moved from %d to %d", all[i].Name, all[i].Number, again[i].Number)
		}
	}
	// the first fills up what the second partition lacks, and then all get some
	if got := placesOf(again[5:]); got[0] != 1 || slices.Max(got) != 2 {
		t.Errorf("new ones: got %v", got)
	}
}

// If a project cannot be registered, no other is, in whichever partition.
func TestConflict(t *testing.T) {
	t.Parallel()
	s := opened(t, 3)
	all := register(t, s, 3)
	next := projects(6)
	next[2].Hard, next[2].Soft = []string{"cookie"}, nil
	if err := s.Register(next); err == nil || !strings.Contains(err.Error(), `project "project 2": identifier "cookie": a hard one cannot become soft`) {
		t.Fatalf("got %v", err)
	}
	if got, want := register(t, s, 3), all; !slices.EqualFunc(got, want, func(a, b trackway.Project) bool { return a.Number == b.Number }) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range next[3:] {
		if part, err := s.find(&next[3+i]); part >= 0 || err != nil {
			t.Errorf("%s was registered in %d: %v", next[3+i].Name, part, err)
		}
	}
}

// A project in two partitions has lost a part of its data for its readers. That
// is no reason to choose one.
func TestInTwo(t *testing.T) {
	t.Parallel()
	s := opened(t, 3)
	all := register(t, s, 3)
	if err := s.all[2].Register(projects(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Register(projects(3)); err == nil || !strings.Contains(err.Error(), `project "project 0" is in two partitions, p00 and p02`) {
		t.Errorf("got %v", err)
	}
	if err := s.Register(all[1:]); err != nil {
		t.Error(err)
	}
}

// Commands of one request are of one project. Others could not be carried out
// in one step.
func TestSpread(t *testing.T) {
	t.Parallel()
	s := opened(t, 2)
	all := register(t, s, 2)
	cmds := []trackway.Command{event(&all[0], "a", 1), event(&all[1], "a", 1)}
	if err := s.Apply(cmds, make([]trackway.Result, 2)); err == nil {
		t.Error("commands of two partitions: got no error")
	}
	if s.all[0].Synced()+s.all[1].Synced() != 0 {
		t.Error("one of them was carried out")
	}
	// a command that was refused before is only counted
	refused := trackway.Command{Kind: trackway.Nothing, Project: all[1].Number, Received: 1}
	good := event(&all[1], "a", 1)
	cmds = []trackway.Command{{Kind: trackway.Nothing}, refused, good}
	apply(t, s, cmds...)
	if cmds[1].Project != all[1].Number || cmds[2].Project != all[1].Number {
		t.Errorf("the commands have changed: %v", cmds)
	}
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	if u, err := query.Total(v, all[1].Number); err != nil || u.Stored != 1 || u.Refused != 1 {
		t.Errorf("got %+v, %v", u, err)
	}
	if v.(*snapshot).parts[0] != nil {
		t.Error("a partition was read that does not have the project")
	}
}

// A change of a project is seen in its version only, in its part of the log,
// and by the followers of its partition, under its number.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := opened(t, 3)
	all := register(t, s, 5)
	before := s.Version(all[4].Number)
	apply(t, s, event(&all[1], "a", 1))
	if s.Version(all[4].Number) != before { // in the same partition
		t.Error("another project's version has changed")
	}
	apply(t, s, event(&all[4], "b", 2))
	if s.Version(all[4].Number) == before {
		t.Error("the version has not changed")
	}
	apply(t, s, event(&all[2], "c", 3))
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	logged := func(r query.LogRange) (of []uint32) {
		t.Helper()
		if err := v.Log(r, func(e *trackway.Event) bool { of = append(of, e.Project); return len(of) < 3 }); err != nil {
			t.Fatal(err)
		}
		return of
	}
	if got, want := logged(query.LogRange{Project: all[4].Number}), []uint32{all[1].Number, all[4].Number}; !slices.Equal(got, want) {
		t.Errorf("the log of a partition: got %v, want %v", got, want)
	}
	if got, want := logged(query.LogRange{}), []uint32{all[1].Number, all[4].Number, all[2].Number}; !slices.Equal(got, want) {
		t.Errorf("all logs: got %v, want %v", got, want)
	}
	var followed, back []uint32
	feed := s.FeedOf(all[4].Number)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for some, err := range feed.Follow(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range some {
			if c.Event != nil && c.Event.Project != c.Project {
				t.Errorf("got %d with an event of %d", c.Project, c.Event.Project)
			}
			followed = append(followed, c.Project)
		}
		break
	}
	// events and customers
	if want := []uint32{all[1].Number, all[1].Number, all[4].Number, all[4].Number}; !slices.Equal(followed, want) {
		t.Errorf("followers: got %v, want %v", followed, want)
	}
	err := feed.Back(feed.Synced(), func(e *trackway.Event) bool { back = append(back, e.Project); return true })
	if want := []uint32{all[4].Number, all[1].Number}; err != nil || !slices.Equal(back, want) {
		t.Errorf("back: got %v, %v, want %v", back, err, want)
	}
	c, err := v.Find(all[4].Number, trackway.Identifier{Name: "registered", Value: "b", Hard: true})
	if err != nil || c == 0 {
		t.Fatal(c, err)
	}
	if now, ids, err := feed.Current(all[4].Number, c); now != c || len(ids) != 1 || err != nil {
		t.Errorf("got %d %v, %v", now, ids, err)
	}
	if done, err := s.Erase(all[4].Number, c, []string{"email"}, 9); err != nil || len(done.IDs) != 1 {
		t.Errorf("erase: %+v, %v", done, err)
	}
	for i, want := range []int{0, 0, 0, 0, 1} {
		if list, err := s.Erasures(all[i].Number); err != nil || len(list) != want {
			t.Errorf("erasures of %s: got %v, %v", all[i].Name, list, err)
		}
	}
}

// content is what readers find of a project, without numbers.
func content(t *testing.T, s *Set, p *trackway.Project) any {
	t.Helper()
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	type customer struct {
		IDs        []trackway.Identifier
		Properties []trackway.DatedProperty
		Events     []string
	}
	var out struct {
		Customers []customer
		Listed    int
		Usage     query.Usage
		Counts    map[string]uint64
		Named     bool
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var profiles []*trackway.Profile
	check(v.Profiles(p.Number, func(c *trackway.Profile) bool {
		if c != nil {
			profiles = append(profiles, c)
		}
		return true
	}))
	for _, c := range profiles {
		one := customer{IDs: c.IDs, Properties: c.Properties}
		check(v.Events(p.Number, c.Customer, false, func(e *trackway.Event) bool {
			if e.Project != p.Number {
				t.Errorf("an event of project %d instead of %d", e.Project, p.Number)
			}
			one.Events = append(one.Events, fmt.Sprintf("%d %s %s", e.Time, e.Type, e.Properties))
			return true
		}))
		if len(c.IDs) > 0 {
			found, err := v.Find(p.Number, c.IDs[0])
			check(err)
			now, err := v.Survivor(p.Number, found)
			check(err)
			if again, err := v.Profile(p.Number, now); err != nil || now != c.Customer || !slices.Equal(again.IDs, c.IDs) {
				t.Errorf("found customer %d, %v instead of %d", now, err, c.Customer)
			}
		}
		out.Customers = append(out.Customers, one)
	}
	check(v.Customers(p.Number, query.CustomerRange{}, func(trackway.Customer, []byte) bool { out.Listed++; return true }))
	out.Counts = map[string]uint64{}
	check(v.Counts(p.Number, query.CountRange{By: query.ByTime}, func(c query.Count) bool { out.Counts[c.Type] += c.Events; return true }))
	out.Named = v.CountedByName(p.Number, "buy")
	var err error
	out.Usage, err = query.Total(v, p.Number)
	check(err)
	return out
}

// Projects in several partitions have the content that they have in one store.
func TestSame(t *testing.T) {
	t.Parallel()
	one, three := opened(t, 1), opened(t, 3)
	const n = 5
	here, there := register(t, one, n), register(t, three, n)
	random := rand.New(rand.NewPCG(1, 2))
	value := func(name string, hard bool) trackway.Identifier {
		return trackway.Identifier{Name: name, Value: fmt.Sprint("v", random.IntN(12)), Hard: hard}
	}
	for i := range 600 {
		which := random.IntN(n)
		c := event(&here[which], "", i+1)
		c.IDs = []trackway.Identifier{value("registered", true), value("cookie", false)}[random.IntN(2):]
		if random.IntN(4) == 0 {
			c.Kind, c.Type = trackway.UpdateCustomer, ""
		}
		d := c
		d.Project = there[which].Number
		a, b := apply(t, one, c)[0], apply(t, three, d)[0]
		if (a.Err == nil) != (b.Err == nil) || a.Duplicate != b.Duplicate {
			t.Fatalf("command %d: got %+v and %+v", i, a, b)
		}
	}
	for i := range n {
		if diff := cmp.Diff(content(t, one, &here[i]), content(t, three, &there[i])); diff != "" {
			t.Errorf("%s: (-one store +three)\n%s", here[i].Name, diff)
		}
	}
}

// With one partition, callers have the store itself.
func TestOne(t *testing.T) {
	t.Parallel()
	s := opened(t, 1)
	all := register(t, s, 2)
	v := s.Snapshot()
	defer func() { _ = v.Close() }()
	if _, around := v.(*snapshot); around || all[1].Number != 2 {
		t.Errorf("got a %T, and number %d for the second project", v, all[1].Number)
	}
}

// TestShare: servers that share stores put a new project where the first of
// them has put it, whatever each would choose. Projects that are registered
// stay where they are.
func TestShare(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	alone := open(t, dir, 3)
	before := register(t, alone, 2)
	apply(t, alone, event(&before[0], "a", 1))
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, 3)
	defer func() { _ = s.Close() }()
	s.Share()
	// another server was faster
	other := entry.Assign{Tokens: []string{projects(3)[2].Token}, Wanted: []uint32{1}}
	if err := s.all[0].Assign(&other); err != nil {
		t.Fatal(err)
	}
	all := register(t, s, 4)
	if got, want := placesOf(all), []int{0, 1, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for i := range all {
		if part, known, err := s.all[0].Assigned(all[i].Token); int(part) != partition.Of(all[i].Number) || !known || err != nil {
			t.Errorf("the table has %s in %d, %v, %v", all[i].Name, part, known, err)
		}
	}
	index := s.all[0].Replica().Applied()
	if again := register(t, s, 4); !slices.Equal(placesOf(again), placesOf(all)) || s.all[0].Replica().Applied() != index {
		t.Errorf("again: got %v, and %d entries more", placesOf(again), s.all[0].Replica().Applied()-index)
	}
	// between the look into the table and the entry, another server was faster
	fresh := projects(5)[4:]
	other = entry.Assign{Tokens: []string{fresh[0].Token}, Wanted: []uint32{2}}
	if err := s.all[0].Assign(&other); err != nil {
		t.Fatal(err)
	}
	at := []int{0}
	if err := s.assign(fresh, at, []int{0}, new(entry.Assign)); err != nil || at[0] != 2 {
		t.Errorf("got %v, %v", at, err)
	}
	wrong := entry.Assign{Tokens: []string{"t"}, Wanted: []uint32{3}}
	if err := s.all[0].Assign(&wrong); err != nil {
		t.Fatal(err)
	}
	if err := s.Register([]trackway.Project{{Name: "p", Token: "t"}}); err == nil || !strings.Contains(err.Error(), `project "p" is in partition 3, and there are 3`) {
		t.Errorf("got %v", err)
	}
}

// TestKnown: without other servers, a project has the number that it has here
// already, or none.
func TestKnown(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		dir := t.TempDir()
		before := open(t, dir, n)
		before.Share()
		known := register(t, before, 4)
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, n)
		s.Share()
		index := s.all[0].Replica().Applied()
		all := projects(6)
		if err := s.Known(all); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			want := uint32(0)
			if i < len(known) {
				want = known[i].Number
			}
			if all[i].Number != want {
				t.Errorf("%d partitions: project %d: got number %d, want %d", n, i, all[i].Number, want)
			}
		}
		if s.all[0].Replica().Applied() != index {
			t.Error("something was written")
		}
		if n > 1 && (s.Number(all[0].Token) != all[0].Number || s.Number(all[5].Token) != 0) {
			t.Error("the set does not know which projects have numbers")
		}
		all[0].Hard, all[0].Soft = all[0].Soft, all[0].Hard
		if err := s.Known(all); err == nil {
			t.Error("identifiers have changed their kinds, and that is not refused")
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
