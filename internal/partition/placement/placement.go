// Package placement says which servers of a cluster should hold which
// partitions, and by which steps they come there. It knows neither the cluster
// nor the network: who holds what now is given to it.
package placement

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Everywhere is the partition that all servers hold. It says where projects
// are.
const Everywhere = 0

// Holders returns the members that should hold a partition: as many as there
// are to be copies, or all if there are fewer. Each member has a rank in each
// partition, which depends on nothing else, so a new member takes the place of
// at most one other in a partition (rendezvous hashing).
func Holders(part int, members []string, copies int) []string {
	ranked := slices.Clone(members)
	slices.SortFunc(ranked, func(a, b string) int {
		x, y := rank(part, a), rank(part, b)
		return cmp.Or(bytes.Compare(x[:], y[:]), cmp.Compare(a, b))
	})
	if part == Everywhere {
		return ranked
	}
	return ranked[:min(copies, len(ranked))]
}

// rank is the place of a member among those that may hold a partition. It must
// stay the same in all versions of the program.
func rank(part int, member string) [sha256.Size]byte {
	return sha256.Sum256(append(binary.BigEndian.AppendUint32(nil, uint32(part)), member...))
}

// Partition is a partition as it is.
type Partition struct {
	Holders []string // with or without a vote
	Leader  string   // one of the holders; empty: none is known
}

// Kind is what a [Step] does.
type Kind string

// The kinds.
const (
	Add    Kind = "add"    // a server gets a copy, and then votes
	Remove Kind = "remove" // a server gives its copy up
	Lead   Kind = "lead"   // a holder becomes the leader
)

// Step is one change of one partition. The next one may begin when it has
// ended.
type Step struct {
	Do     Kind   `json:"do"`
	Part   int    `json:"partition"`
	Server string `json:"server"` // of the members
}

// Plan returns the steps after which each partition is where it should be. A
// copy is removed only when there is another one instead of it. If the plan is
// broken off, the plan for what there is then goes on.
func Plan(now []Partition, members []string, copies int) (steps []Step) {
	for part := range now {
		steps = append(steps, move(part, now[part], Holders(part, members, copies))...)
	}
	return steps
}

// move returns the steps by which a partition comes to those that should hold
// it.
func move(part int, at Partition, want []string) (steps []Step) {
	without := func(all, some []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(some, one) })
	}
	missing, spare := without(want, at.Holders), without(at.Holders, want)
	// The leader leaves last, and hands over before. Others, which may be lost,
	// leave first.
	slices.SortStableFunc(spare, func(a, b string) int {
		return cmp.Compare(index(a == at.Leader), index(b == at.Leader))
	})
	for len(missing) > 0 || len(spare) > 0 {
		if len(missing) > 0 {
			steps = append(steps, Step{Add, part, missing[0]})
			missing = missing[1:]
		}
		if len(spare) > len(missing) || len(missing) == 0 && len(spare) > 0 { // else a copy would be missing
			if spare[0] == at.Leader {
				steps = append(steps, Step{Lead, part, want[0]})
			}
			steps = append(steps, Step{Remove, part, spare[0]})
			spare = spare[1:]
		}
	}
	return steps
}

func index(is bool) int {
	if is {
		return 1
	}
	return 0
}
