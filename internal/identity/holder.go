// Package identity decides whose identifiers these are: which customer a command is about, who is merged with whom, and who
// loses an identifier to whom. Its one idea is that this is a pure decision: the holders of the identifiers go in, a
// [Decision] comes out, and the same input gives the same output on every server and in every replay. It reads no clock and
// no configuration, and it keeps nothing: the store looks holders up and carries decisions out.
//
// The rules stand in DESIGN.md beside this file.
package identity

import (
	"cmp"
	"slices"
	"strings"

	"trackway"
)

// ID is an identifier as its holder keeps it.
type ID struct {
	trackway.Identifier
	Used trackway.Micros // receipt of the command that last put it in front of the others of its name
}

// Holder is a customer as identity sees it.
//
// INVARIANT: IDs holds the hard ones first, sorted by name, one of each; then the soft ones, sorted by name and, within a
// name, the most recently used first, at most [trackway.MaxSoftIDs] of each. Keeping them in the order of use makes "unused
// longest" exact without a write for each use: a customer that keeps coming with the identifier already in front changes
// nothing. Between customers that merge the order is by Used, and may be wrong about one that has stayed in front since.
type Holder struct {
	Customer   trackway.Customer // 0: not created yet
	Created    trackway.Micros
	IDs        []ID
	Properties int               // how many properties the customer has
	Absorbed   int               // how many customers' timelines, besides its own, hold its events
	MergedInto trackway.Customer // 0, or the survivor: then the holder holds nothing any more
}

// hard returns the value of the hard identifier name, and whether the holder has one.
func (h *Holder) hard(name string) (string, bool) {
	for _, id := range h.IDs {
		if !id.Hard {
			break
		}
		if id.Name == name {
			return id.Value, true
		}
	}
	return "", false
}

// holds tells whether the holder has exactly this identifier.
func (h *Holder) holds(id trackway.Identifier) bool { return h.index(id) >= 0 }

func (h *Holder) index(id trackway.Identifier) int {
	return slices.IndexFunc(h.IDs, func(own ID) bool { return own.Identifier == id })
}

// run returns the bounds of the soft identifiers called name. Where there are none, both are the place to insert the first.
func (h *Holder) run(name string) (start, end int) {
	start = len(h.IDs)
	for i, id := range h.IDs {
		if !id.Hard && id.Name >= name {
			start = i
			break
		}
	}
	end = start
	for end < len(h.IDs) && h.IDs[end].Name == name {
		end++
	}
	return start, end
}

// sortIDs restores the invariant after identifiers of several holders were thrown together.
func sortIDs(ids []ID) {
	slices.SortStableFunc(ids, func(a, b ID) int {
		switch {
		case a.Hard != b.Hard && a.Hard:
			return -1
		case a.Hard != b.Hard:
			return 1
		}
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(b.Used, a.Used))
	})
}
