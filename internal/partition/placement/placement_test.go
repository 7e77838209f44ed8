package placement

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestRanks: the ranks never change, or each new version of the program would
// move all partitions.
func TestRanks(t *testing.T) {
	t.Parallel()
	members := []string{"a", "b", "c", "d", "e"}
	var got []string
	for part := range 4 {
		got = append(got, fmt.Sprint(Holders(part, members, 3)))
	}
	want := []string{"[b c a e d]", "[e d b]", "[c a b]", "[b e a]"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func drawMembers(t *rapid.T) []string {
	n := rapid.IntRange(1, 9).Draw(t, "members")
	all := make([]string, n)
	for i := range all {
		all[i] = strconv.FormatUint(rapid.Uint64().Draw(t, "member"), 16)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestFewestMoves: a member that comes or goes changes each partition in one
// place at most, and only those that it holds.
func TestFewestMoves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members, copies := drawMembers(t), rapid.IntRange(1, 5).Draw(t, "copies")
		for part := range 8 {
			before := Holders(part, members, copies)
			after := Holders(part, append(slices.Clone(members), "new"), copies)
			if part == Everywhere && len(after) != len(members)+1 || part != Everywhere && len(after) != min(copies, len(members)+1) {
				t.Fatalf("%d of %d hold partition %d", len(after), len(members)+1, part)
			}
			lost := slices.DeleteFunc(slices.Clone(before), func(m string) bool { return slices.Contains(after, m) })
			if len(lost) > 1 || len(lost) > 0 && !slices.Contains(after, "new") {
				t.Errorf("partition %d: with another member, %v came of %v", part, after, before)
			}
		}
	})
}

// TestSteps: each step of a plan is safe, and after the last one all is as it
// should be.
func TestSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		members, copies := drawMembers(t), rapid.IntRange(1, 5).Draw(t, "copies")
		everybody := append(slices.Clone(members), "lost", "removed")
		now := make([]Partition, rapid.IntRange(1, 8).Draw(t, "partitions"))
		for part := range now {
			p := &now[part]
			p.Holders = rapid.Permutation(everybody).Draw(t, "holders")[:rapid.IntRange(1, len(everybody)).Draw(t, "how many")]
			if rapid.Bool().Draw(t, "led") {
				p.Leader = rapid.SampledFrom(p.Holders).Draw(t, "leader")
			}
		}
		before := clone(now)
		steps := Plan(now, members, copies)
		if fmt.Sprint(before) != fmt.Sprint(now) {
			t.Fatal("the plan has changed what it was given")
		}
		count := 0
		for i, s := range steps {
			carryOut(t, now, s)
			if s.Do != Lead {
				count++
			}
			want := Holders(s.Part, members, copies)
			// Until it is where it should be, it has at most one copy less than
			// it had, or should have.
			least := min(len(before[s.Part].Holders), len(want))
			if n := len(now[s.Part].Holders); n < least || n > max(len(before[s.Part].Holders), len(want))+1 {
				t.Fatalf("after %v, partition %d has %d copies; it had %d, and should have %d", s, s.Part, n, len(before[s.Part].Holders), len(want))
			}
			if i%3 == 0 { // broken off here, another plan needs no more changes
				rest := slices.DeleteFunc(Plan(clone(now), members, copies), func(s Step) bool { return s.Do == Lead })
				left := slices.DeleteFunc(slices.Clone(steps[i+1:]), func(s Step) bool { return s.Do == Lead })
				if len(rest) != len(left) {
					t.Fatalf("after %v, %d changes are left, and another plan has %d", steps[:i+1], len(left), len(rest))
				}
			}
		}
		moves := 0
		for part := range now {
			want := Holders(part, members, copies)
			for _, m := range union(before[part].Holders, want) {
				if slices.Contains(want, m) != slices.Contains(before[part].Holders, m) {
					moves++
				}
			}
			slices.Sort(want)
			slices.Sort(now[part].Holders)
			if !slices.Equal(want, now[part].Holders) {
				t.Fatalf("partition %d is at %v, and should be at %v", part, now[part].Holders, want)
			}
		}
		if count != moves {
			t.Fatalf("%d changes, and %d would do", count, moves)
		}
		if rest := Plan(now, members, copies); len(rest) > 0 {
			t.Fatalf("afterwards, there is more to do: %v", rest)
		}
	})
}

func carryOut(t *rapid.T, now []Partition, s Step) {
	p := &now[s.Part]
	holds := slices.Contains(p.Holders, s.Server)
	switch s.Do {
	case Add:
		if holds {
			t.Fatalf("%v: it holds it", s)
		}
		p.Holders = append(slices.Clone(p.Holders), s.Server)
	case Remove:
		if !holds || p.Leader == s.Server {
			t.Fatalf("%v: it does not hold it, or leads it: %v", s, *p)
		}
		p.Holders = slices.DeleteFunc(slices.Clone(p.Holders), func(m string) bool { return m == s.Server })
	case Lead:
		if !holds {
			t.Fatalf("%v: it does not hold it", s)
		}
		p.Leader = s.Server
	}
}

func union(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

func clone(all []Partition) []Partition {
	next := slices.Clone(all)
	for i := range next {
		next[i].Holders = slices.Clone(next[i].Holders)
	}
	return next
}
