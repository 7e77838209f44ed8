package balance

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func loads(groups []Group, moves []Move) map[string]int {
	leader, leads := map[int]string{}, map[string]int{}
	for _, g := range groups {
		leader[g.Partition] = g.Leader
		for _, server := range g.Fit {
			leads[server] += 0
		}
	}
	for _, m := range moves {
		leader[m.Partition] = m.To
	}
	for _, server := range leader {
		if server != "" {
			leads[server]++
		}
	}
	return leads
}

// TestLeaders: with all partitions on all servers, each leads as many as the
// others, or one more, and no more changes than needed.
func TestLeaders(t *testing.T) {
	t.Parallel()
	all := []string{"a", "b", "c"}
	groups := func(leaders string) (groups []Group) {
		for i, l := range leaders {
			g := Group{Partition: i, Fit: all}
			if l != '-' {
				g.Leader = string(l)
			}
			groups = append(groups, g)
		}
		return groups
	}
	for leaders, want := range map[string]int{"": 0, "a": 0, "ab": 0, "aa": 1, "aaa": 2, "aab": 1, "abc": 0, "aaaaaa": 4, "a--": 0, "aabbb": 1, "---": 0} {
		if got := Leaders(groups(leaders)); len(got) != want {
			t.Errorf("%q: got %v, want %d changes", leaders, got, want)
		}
	}
	got := Leaders([]Group{{0, "a", []string{"a", "b"}}, {1, "a", []string{"a", "b"}}, {2, "b", []string{"b", "c"}}})
	if want := []Move{{0, "a", "b"}, {2, "b", "c"}}; !slices.Equal(got, want) {
		t.Errorf("a chain: got %v, want %v", got, want)
	}
	if got := Leaders([]Group{{0, "a", []string{"a"}}, {1, "a", []string{"a"}}, {2, "b", []string{"b"}}}); got != nil {
		t.Errorf("nobody else can lead: got %v", got)
	}
}

// TestRandom: a server that could lead does, and the result needs no further
// change.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		random := rand.New(rand.NewPCG(seed, 1))
		servers, copies := 1+random.IntN(7), 1+random.IntN(3)
		var groups []Group
		for i := range random.IntN(12) {
			g := Group{Partition: i}
			for _, s := range random.Perm(servers)[:min(copies, servers)] {
				g.Fit = append(g.Fit, fmt.Sprint("s", s))
			}
			if random.IntN(8) > 0 {
				g.Leader = g.Fit[random.IntN(len(g.Fit))]
			}
			groups = append(groups, g)
		}
		moves := Leaders(groups)
		for _, m := range moves {
			g := &groups[m.Partition]
			if g.Leader != m.From || m.From == "" || m.From == m.To || !slices.Contains(g.Fit, m.To) {
				t.Fatalf("seed %d: %v of %v", seed, m, *g)
			}
			g.Leader = m.To
		}
		if again := Leaders(groups); again != nil {
			t.Fatalf("seed %d: after %v: %v", seed, moves, again)
		}
		if copies < servers {
			continue
		}
		leads := loads(groups, nil)
		least, most := 99, 0
		for _, n := range leads {
			least, most = min(least, n), max(most, n)
		}
		if most > least+1 {
			t.Fatalf("seed %d: %v", seed, leads)
		}
	}
}
