package live

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"trackway"
)

// LeftOut counts commands with an identifier that names nobody. It is a count,
// because a client that sends "undefined" sends it with every event. It
// contains no value that a client made up, so an erasure does not remove it.
type LeftOut struct {
	What    trackway.Identifier // as [Project.LeavesOut] of package trackway returns it
	Project uint32
	Count   uint64 // commands since First; a pause of an hour starts a new count
	First   trackway.Micros

	// Of the last command.
	Last    trackway.Micros
	Command string // its name
	Type    string // of the event; empty for an update
	Address netip.Addr
}

const (
	leftOutFor  = time.Hour // after the last one: somebody who has repaired a client wants to see that it worked
	mostLeftOut = 1000      // counts; usually far fewer, unless the configuration lists very many values
)

type leftOutKey struct {
	project uint32
	what    trackway.Identifier
}

// CountLeftOut counts the identifiers that were left out of a command. sent
// says who sent the command: its fields Project, Received, Command, Type and
// Address are used. All texts are copied. Cost: a lock, and a map lookup for
// each identifier.
func (h *Hub) CountLeftOut(what []trackway.Identifier, sent *Rejection) {
	h.leftMu.Lock()
	defer h.leftMu.Unlock()
	for _, one := range what {
		key := leftOutKey{sent.Project, one}
		l := h.left[key]
		if l == nil || expired(l, sent.Received) {
			if l == nil && len(h.left) >= mostLeftOut && !h.makeRoomLocked(sent.Received) {
				continue
			}
			key.what = one.Clone()
			l = &LeftOut{What: key.what, Project: sent.Project, First: sent.Received}
			if h.left == nil {
				h.left = make(map[leftOutKey]*LeftOut)
			}
			h.left[key] = l
		}
		l.Count++
		l.Last, l.Address = max(l.Last, sent.Received), sent.Address
		if l.Command != sent.Command {
			l.Command = own(sent.Command)
		}
		if l.Type != sent.Type {
			l.Type = own(sent.Type)
		}
	}
	h.leftVersion++
}

// makeRoomLocked forgets the counts that are too old to be shown. It reports
// whether there were any.
func (h *Hub) makeRoomLocked(at trackway.Micros) bool {
	before := len(h.left)
	maps.DeleteFunc(h.left, func(_ leftOutKey, l *LeftOut) bool { return expired(l, at) })
	return len(h.left) < before
}

func expired(l *LeftOut, at trackway.Micros) bool {
	return at-l.Last > trackway.Micros(leftOutFor.Microseconds())
}

// LeftOut returns the recent counts of a project (0: of all projects), latest
// first, and their version. If nothing was counted since the version have, it
// returns nil and the same version. A version of 0 means that the caller has
// nothing.
func (h *Hub) LeftOut(project uint32, at trackway.Micros, have uint64) (list []LeftOut, version uint64) {
	h.leftMu.Lock()
	defer h.leftMu.Unlock()
	if have == h.leftVersion {
		return nil, have
	}
	h.makeRoomLocked(at)
	for _, l := range h.left {
		if project == 0 || project == l.Project {
			list = append(list, *l)
		}
	}
	slices.SortFunc(list, func(a, b LeftOut) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.Project, b.Project), cmp.Compare(a.What.Name, b.What.Name), cmp.Compare(a.What.Value, b.What.Value))
	})
	return list, h.leftVersion
}
