// Package identity decides which customer a command is about, which customers
// are merged, and which customer loses an identifier to another. The decision
// is a pure function: the holders of the identifiers go in, a [Decision] comes
// out, and the same input gives the same output on every server and in every
// replay. The package reads no clock and no configuration, and it keeps no
// state: the store looks up holders and carries out decisions.
//
// DESIGN.md in this directory states the rules.
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
	Used trackway.Micros // receipt of the command that last moved it to the front of its name
}

// Holder is a customer as this package sees it.
//
// INVARIANT: IDs lists the hard identifiers first, sorted by name, one for each
// name. The soft ones follow, sorted by name and, within a name, the most
// recently used first, at most [trackway.MaxSoftIDs] for each name. Keeping
// them in order of use makes "unused longest" exact without a write for each
// use: a customer that keeps using the identifier already in front changes
// nothing. Merged customers order their identifiers by Used, which may be too
// old for an identifier that has stayed in front since.
type Holder struct {
	Customer   trackway.Customer // 0: not created yet
	Created    trackway.Micros
	IDs        []ID
	Properties int
	Absorbed   int               // number of timelines, besides its own, that hold its events
	MergedInto trackway.Customer // 0, or the survivor: then the holder is empty
}

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

func (h *Holder) holds(id trackway.Identifier) bool { return h.index(id) >= 0 }

func (h *Holder) index(id trackway.Identifier) int {
	return slices.IndexFunc(h.IDs, func(own ID) bool { return own.Identifier == id })
}

// run returns the bounds of the soft identifiers called name. If there are no
// such identifiers, both bounds are the place to insert the first.
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

// sortIDs restores the invariant after the identifiers of several holders have
// been joined.
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
