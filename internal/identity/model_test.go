package identity

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trackway"
)

// model implements the same rules in the simplest way: people with their
// identifiers, and no index.
type model struct {
	people []*person // oldest first
	now    trackway.Micros
}

type person struct {
	number trackway.Customer
	hard   map[string]string // name → value
	soft   map[string][]ID   // name → values, most recently used first
	merged trackway.Customer
}

func (m *model) holderOf(id trackway.Identifier) *person {
	i := slices.IndexFunc(m.people, func(p *person) bool {
		if id.Hard {
			return p.hard[id.Name] == id.Value
		}
		return slices.ContainsFunc(p.soft[id.Name], func(own ID) bool { return own.Identifier == id })
	})
	if i < 0 {
		return nil
	}
	return m.people[i]
}

// compatible reports whether the people and the command's hard identifiers have
// at most one value for each name.
func compatible(people []*person, ids []trackway.Identifier) bool {
	values := make(map[string]string)
	fits := func(name, value string) bool {
		known, ok := values[name]
		values[name] = value
		return !ok || known == value
	}
	for _, id := range ids {
		if id.Hard && !fits(id.Name, id.Value) {
			return false
		}
	}
	for _, p := range people {
		for name, value := range p.hard {
			if !fits(name, value) {
				return false
			}
		}
	}
	return true
}

func (m *model) send(ids []trackway.Identifier) trackway.Customer {
	m.now++
	var group, others []*person
	named := slices.ContainsFunc(ids, func(id trackway.Identifier) bool { return id.Hard })
	for _, id := range ids {
		p := m.holderOf(id)
		switch {
		case p == nil:
		case id.Hard:
			group = append(group, p)
		case !named && len(group) == 0:
			group = append(group, p)
		default:
			others = append(others, p)
		}
	}
	if !compatible(group, ids) {
		return 0
	}
	byNumber := func(a, b *person) int { return int(a.number) - int(b.number) }
	slices.SortFunc(others, byNumber)
	for _, p := range others {
		if joined := append(slices.Clone(group), p); compatible(joined, ids) {
			group = joined
		}
	}
	slices.SortFunc(group, byNumber)
	p, changed := m.unite(slices.Compact(group))
	m.claim(p, ids, named, changed)
	return p.number
}

// unite merges the group into its oldest person, or into a new one if the group
// is empty. It reports whether it merged anybody.
func (m *model) unite(group []*person) (p *person, merged bool) {
	if len(group) == 0 {
		p = &person{
			number: trackway.Customer(len(m.people) + 1),
			hard:   make(map[string]string), soft: make(map[string][]ID),
		}
		m.people = append(m.people, p)
		return p, false
	}
	p = group[0]
	for _, other := range group[1:] {
		maps.Copy(p.hard, other.hard)
		for name, values := range other.soft {
			p.soft[name] = append(p.soft[name], values...)
		}
		*other = person{number: other.number, merged: p.number}
	}
	for _, values := range p.soft {
		if len(group) > 1 {
			slices.SortStableFunc(values, func(a, b ID) int { return int(b.Used - a.Used) })
		}
	}
	return p, len(group) > 1
}

// claim gives p the command's identifiers and moves them to the front. It takes
// identifiers from other people only if the command is named. If this or a
// merge has changed anything, all of the identifiers count as used.
func (m *model) claim(p *person, ids []trackway.Identifier, named, changed bool) {
	front := make(map[string][]ID)
	for _, id := range ids {
		switch owner := m.holderOf(id); {
		case id.Hard:
			changed = changed || p.hard[id.Name] != id.Value
			p.hard[id.Name] = id.Value
			continue
		case owner != nil && owner != p && !named:
			continue
		case owner != nil && owner != p:
			owner.soft[id.Name] = without(owner.soft[id.Name], id)
		}
		front[id.Name] = append(front[id.Name], ID{Identifier: id, Used: m.now})
	}
	for name, used := range front {
		rest := p.soft[name]
		for _, id := range used {
			rest = without(rest, id.Identifier)
		}
		changed = changed || !slices.EqualFunc(p.soft[name], slices.Concat(used, rest), sameID)
		front[name] = slices.Concat(used, rest)
	}
	for name, values := range front {
		if changed {
			p.soft[name] = values[:min(len(values), trackway.MaxSoftIDs)]
		}
	}
}

func sameID(a, b ID) bool { return a.Identifier == b.Identifier }

func without(values []ID, id trackway.Identifier) []ID {
	return slices.DeleteFunc(slices.Clone(values), func(own ID) bool { return own.Identifier == id })
}

// compare describes how the world's customers differ from the model's people.
func (m *model) compare(w *world) string {
	if len(m.people) != len(w.holders) {
		return fmt.Sprintf("%d customers, want %d", len(w.holders), len(m.people))
	}
	for _, p := range m.people {
		h := w.holders[p.number]
		var got, want []trackway.Identifier
		for _, id := range h.IDs {
			got = append(got, id.Identifier)
		}
		for _, name := range slices.Sorted(maps.Keys(p.hard)) {
			want = append(want, trackway.Identifier{Name: name, Value: p.hard[name], Hard: true})
		}
		for _, name := range slices.Sorted(maps.Keys(p.soft)) {
			for _, id := range p.soft[name] {
				want = append(want, id.Identifier)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || h.MergedInto != p.merged {
			return fmt.Sprintf("customer %d, merged into %d (want %d): %s", p.number, h.MergedInto, p.merged, diff)
		}
	}
	return ""
}

// command draws the identifiers of a command. They have few values, so that
// customers meet. Sometimes there are more soft ones than a customer may hold.
func command() *rapid.Generator[[]trackway.Identifier] {
	few := rapid.Custom(func(t *rapid.T) trackway.Identifier {
		name := rapid.SampledFrom([]string{"cookie", "cookie", "cookie", "device", "email", "phone", "registered"}).Draw(t, "name")
		return identifier(name, name[:1]+rapid.SampledFrom([]string{"1", "2", "3", "4", "5"}).Draw(t, "value"))
	})
	many := rapid.Custom(func(t *rapid.T) trackway.Identifier {
		return identifier("cookie", fmt.Sprintf("c%d", rapid.IntRange(0, 199).Draw(t, "value")))
	})
	return rapid.Custom(func(t *rapid.T) []trackway.Identifier {
		ids := rapid.SliceOfN(few, 0, 5).Draw(t, "few")
		if rapid.IntRange(0, 3).Draw(t, "crowd") == 0 {
			ids = append(ids, rapid.SliceOfN(many, 1, 50).Draw(t, "many")...)
		}
		return valid(ids)
	})
}

// valid drops what validation refuses: repetitions, and further values of a
// hard identifier.
func valid(ids []trackway.Identifier) []trackway.Identifier {
	kept := ids[:0]
	for _, id := range ids {
		if !slices.ContainsFunc(kept, func(k trackway.Identifier) bool {
			return k == id || (id.Hard && k.Name == id.Name)
		}) {
			kept = append(kept, id)
		}
	}
	return kept
}

// againstModel checks that after every command of any history, the world is
// consistent and equal to the model.
func againstModel(t *rapid.T) {
	w, m := newWorld(), &model{}
	for i, ids := range rapid.SliceOfN(command(), 1, 40).Draw(t, "commands") {
		d, refused, broken := w.send(ids)
		if broken != "" {
			t.Fatalf("command %d, %v: %s", i, ids, broken)
		}
		want := m.send(ids)
		if (refused != nil) != (want == 0) || (refused == nil && d.Holder.Customer != want) {
			t.Fatalf("command %d, %v: got %v (refused: %v), want customer %d", i, ids, d.Holder, refused, want)
		}
		if diff := m.compare(w); diff != "" {
			t.Fatalf("command %d, %v: %s", i, ids, diff)
		}
	}
}

func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, againstModel)
}

func FuzzModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(againstModel)) }

// TestDeterminism: the same commands always lead to the same decisions.
func TestDeterminism(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one, two := newWorld(), newWorld()
		for _, ids := range rapid.SliceOfN(command(), 1, 30).Draw(t, "commands") {
			d1, r1, _ := one.send(ids)
			d2, r2, _ := two.send(slices.Clone(ids))
			if diff := cmp.Diff(d1, d2) + cmp.Diff(r1, r2); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// TestOrderOfIDs: if a hard identifier names the customer, the order of a
// command's identifiers does not affect who holds what afterwards. Otherwise
// only one thing matters: which known identifier comes first.
func TestOrderOfIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		one, two := newWorld(), newWorld()
		for _, ids := range rapid.SliceOfN(command(), 1, 20).Draw(t, "commands") {
			_, _, _ = one.send(ids)
			_, _, _ = two.send(ids)
		}
		ids := command().Draw(t, "last")
		shuffled := rapid.Permutation(slices.Clone(ids)).Draw(t, "shuffled")
		if !slices.ContainsFunc(ids, func(id trackway.Identifier) bool { return id.Hard }) {
			first := func(id trackway.Identifier) bool { return one.index[id] != 0 }
			if i := slices.IndexFunc(ids, first); i >= 0 {
				j := slices.Index(shuffled, ids[i])
				k := slices.IndexFunc(shuffled, first)
				shuffled[j], shuffled[k] = shuffled[k], shuffled[j]
			}
		}
		d1, r1, _ := one.send(ids)
		d2, r2, _ := two.send(shuffled)
		if (r1 == nil) != (r2 == nil) || (r1 == nil && d1.Holder.Customer != d2.Holder.Customer) {
			t.Fatalf("%v: %v %v\n%v: %v %v", ids, d1.Holder, r1, shuffled, d2.Holder, r2)
		}
		if diff := cmp.Diff(one.index, two.index); diff != "" {
			t.Fatalf("%v and %v: %s", ids, shuffled, diff)
		}
	})
}

// TestMergingCommutes: without conflicts, and within the limits of a customer,
// commands connect the same identifiers into one customer, whatever the order
// of the commands.
func TestMergingCommutes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		commands := rapid.SliceOfN(rapid.Custom(ofOnePerson), 1, 30).Draw(t, "commands")
		shuffled := rapid.Permutation(slices.Clone(commands)).Draw(t, "shuffled")
		want := components(commands)
		for _, history := range [][][]trackway.Identifier{commands, shuffled} {
			w := newWorld()
			for _, ids := range history {
				if _, refused, broken := w.send(ids); refused != nil || broken != "" {
					t.Fatalf("%v: %v %s", ids, refused, broken)
				}
			}
			got := make(map[trackway.Customer][]trackway.Identifier)
			for id, c := range w.index {
				got[c] = append(got[c], id)
			}
			if diff := cmp.Diff(want, partition(slices.Collect(maps.Values(got)))); diff != "" {
				t.Fatalf("%v: %s", history, diff)
			}
		}
	})
}

// ofOnePerson draws a command whose identifiers all belong to one of three
// people, so that commands cannot conflict.
func ofOnePerson(t *rapid.T) []trackway.Identifier {
	who := rapid.SampledFrom([]string{"ann", "bob", "eve"}).Draw(t, "person")
	return valid(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) trackway.Identifier {
		name := rapid.SampledFrom([]string{"registered", "email", "cookie", "device"}).Draw(t, "name")
		if slices.Contains(hardNames, name) {
			return identifier(name, who)
		}
		return identifier(name, fmt.Sprintf("%s%d", who, rapid.IntRange(1, 9).Draw(t, "value")))
	}), 1, 3).Draw(t, "ids"))
}

// components returns the groups of identifiers that commands connect.
func components(commands [][]trackway.Identifier) [][]trackway.Identifier {
	var groups [][]trackway.Identifier
	for _, ids := range commands {
		joined := slices.Clone(ids)
		groups = slices.DeleteFunc(groups, func(g []trackway.Identifier) bool {
			meets := slices.ContainsFunc(g, func(id trackway.Identifier) bool { return slices.Contains(ids, id) })
			if meets {
				joined = append(joined, g...)
			}
			return meets
		})
		groups = append(groups, joined)
	}
	return partition(groups)
}

// partition sorts groups of identifiers and removes repetitions.
func partition(groups [][]trackway.Identifier) [][]trackway.Identifier {
	byText := func(a, b trackway.Identifier) int {
		return slices.Compare([]string{a.Name, a.Value}, []string{b.Name, b.Value})
	}
	for i := range groups {
		slices.SortFunc(groups[i], byText)
		groups[i] = slices.Compact(groups[i])
	}
	slices.SortFunc(groups, func(a, b []trackway.Identifier) int { return byText(a[0], b[0]) })
	return groups
}
