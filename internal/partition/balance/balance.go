// Package balance plans which server leads which partition of a cluster. It
// only computes: others carry the plan out.
package balance

import (
	"cmp"
	"slices"
)

// Group is the servers of a partition, by their addresses.
type Group struct {
	Partition int
	Leader    string   // empty: nobody leads
	Fit       []string // servers that could lead, with the leader
}

// Move is a change of the leader of a partition.
type Move struct {
	Partition int    `json:"partition"`
	From      string `json:"from"`
	To        string `json:"to"`
}

// Leaders returns how leadership must change so that each server leads about as
// many partitions as the others: no sequence of changes could make a server
// with more give one to a server with at least two fewer. Partitions without a
// leader stay as they are.
func Leaders(groups []Group) []Move {
	leader := make(map[int]string)
	leads := make(map[string]int)
	for i := range groups {
		g := &groups[i]
		for _, server := range g.Fit {
			leads[server] += 0
		}
		if g.Leader != "" {
			leader[g.Partition] = g.Leader
			leads[g.Leader]++
		}
	}
	for {
		path := shift(groups, leader, leads)
		if path == nil {
			break
		}
		for _, m := range path {
			leader[m.Partition] = m.To
			leads[m.From]--
			leads[m.To]++
		}
	}
	var moves []Move
	for i := range groups {
		g := &groups[i]
		if to := leader[g.Partition]; to != g.Leader {
			moves = append(moves, Move{g.Partition, g.Leader, to})
		}
	}
	slices.SortFunc(moves, func(a, b Move) int { return cmp.Compare(a.Partition, b.Partition) })
	return moves
}

// shift returns the shortest sequence of changes after which a server leads one
// partition fewer, and one that leads at least two fewer leads one more. If no
// such sequence exists, it returns nil.
func shift(groups []Group, leader map[int]string, leads map[string]int) []Move {
	for _, from := range byLoad(leads) {
		came := map[string]Move{from: {}}
		for next := []string{from}; len(next) > 0; next = next[1:] {
			if leads[next[0]] <= leads[from]-2 {
				return trace(came, from, next[0])
			}
			next = append(next, takers(groups, leader, next[0], came)...)
		}
	}
	return nil
}

// takers returns the servers that could lead a partition instead of another
// one, and to which a search did not come before.
func takers(groups []Group, leader map[int]string, of string, came map[string]Move) (found []string) {
	for i := range groups {
		g := &groups[i]
		if leader[g.Partition] != of {
			continue
		}
		for _, to := range g.Fit {
			if _, seen := came[to]; !seen {
				came[to] = Move{g.Partition, of, to}
				found = append(found, to)
			}
		}
	}
	return found
}

// byLoad returns the servers, those that lead most first.
func byLoad(leads map[string]int) (all []string) {
	for server := range leads {
		all = append(all, server)
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Or(cmp.Compare(leads[b], leads[a]), cmp.Compare(a, b)) })
	return all
}

// trace returns the changes by which a search came from one server to another.
func trace(came map[string]Move, from, to string) (path []Move) {
	for to != from {
		path = append(path, came[to])
		to = came[to].From
	}
	slices.Reverse(path)
	return path
}
