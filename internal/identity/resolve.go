package identity

import (
	"cmp"
	"slices"
	"strings"

	"trackway"
)

// Decision is the result of resolving a command's identifiers. Its holders are
// those that the caller passed in, changed in place. To carry it out, the store
// writes them and the index from identifier to customer.
type Decision struct {
	Holder  *Holder // the command's customer; Customer is 0 if it has to be created
	Changed bool    // Holder differs from what is stored
	// Merged into Holder, older first; each still lists its former identifiers.
	Absorbed []*Holder
	Before   []ID                  // with Absorbed: the identifiers that Holder had before
	Robbed   []*Holder             // lost a contested identifier to Holder
	Assign   []trackway.Identifier // these lead to Holder from now on
	Release  []trackway.Identifier // these lead nowhere from now on: dropped as unused longest
}

// Resolve decides which customer a command is about. The server received the
// command at now, and the command names ids. found[i] is the holder of ids[i],
// nil if it has no holder; the same customer is the same pointer. Resolve owns
// found from here on.
//
// The error is a [trackway.Conflict]: the hard identifiers contradict each
// other or those that a customer already has. In that case nothing has changed.
//
// REQUIRES: ids are classified (Hard) and free of repetitions, with at most one
// hard identifier for each name.
func Resolve(ids []trackway.Identifier, found []*Holder, now trackway.Micros) (Decision, *trackway.Error) {
	if len(ids) == 1 && found[0] != nil && !ids[0].Hard && found[0].inFront(ids) {
		return Decision{Holder: found[0]}, nil // the usual case: a known device
	}
	g := group{ids: ids, found: found}
	if err := g.byHard(); err != nil {
		return Decision{}, err
	}
	g.bySoft()
	if len(g.members) > MaxAbsorbed+1 {
		return Decision{}, tooManyError(len(g.members))
	}
	if len(g.loose) > MaxRobbed {
		return Decision{}, tooManyRobbedError(len(g.loose))
	}
	if n := g.movedProperties(); n > MaxMovedProperties {
		return Decision{}, tooLargeError(n)
	}
	return g.decide(now), nil
}

// MaxAbsorbed limits how many customers one command may merge into another. It
// bounds the work of one command; a sign-in usually merges one or two.
const MaxAbsorbed = 16

// MaxMovedProperties limits how many properties one command may move: those of
// all customers that it merges into another, together. Like [MaxAbsorbed], it
// bounds the work of one command: a merge can give a customer more properties
// than updates may.
const MaxMovedProperties = 4 * trackway.MaxProperties

// MaxRobbed limits how many customers one command may take identifiers from.
// The store rewrites the record of each, which may have 17 kB and more. People
// have one or two devices that somebody else used before.
const MaxRobbed = trackway.MaxSoftIDs

func tooManyRobbedError(found int) *trackway.Error {
	return &trackway.Error{Code: trackway.Conflict, Field: "customer_ids", Reason: trackway.Robs, Got: found, Limit: MaxRobbed}
}

func tooLargeError(n int) *trackway.Error {
	return &trackway.Error{Code: trackway.Conflict, Field: "customer_ids", Reason: trackway.Moves, Got: n, Limit: MaxMovedProperties}
}

func tooManyError(found int) *trackway.Error {
	return &trackway.Error{Code: trackway.Conflict, Field: "customer_ids", Reason: trackway.Merges, Got: found, Limit: MaxAbsorbed + 1}
}

// inFront reports whether ids are in front of the others of their name, in this
// order, so that using them changes nothing. A hard identifier only has to be
// present.
func (h *Holder) inFront(ids []trackway.Identifier) bool {
	for i, id := range ids {
		if id.Hard {
			if !h.holds(id) {
				return false
			}
			continue
		}
		rank := 0
		for _, earlier := range ids[:i] {
			if !earlier.Hard && earlier.Name == id.Name {
				rank++
			}
		}
		start, end := h.run(id.Name)
		if start+rank >= end || h.IDs[start+rank].Value != id.Value {
			return false
		}
	}
	return true
}

// group gathers the holders that are one customer.
type group struct {
	ids     []trackway.Identifier
	found   []*Holder
	members []*Holder // the customers to merge; empty: a new customer
	// Holders that cannot be merged with the members and lose their soft
	// identifiers to them.
	loose []*Holder
	named bool // the command names a hard identifier
}

// byHard adds the holders of the hard identifiers. They must not contradict
// each other or the command.
func (g *group) byHard() *trackway.Error {
	for i, id := range g.ids {
		if !id.Hard {
			continue
		}
		g.named = true
		h := g.found[i]
		if h == nil || slices.Contains(g.members, h) {
			continue
		}
		if name, ok := g.conflict(h); ok {
			return conflictError(name, len(g.members) > 0)
		}
		g.members = append(g.members, h)
	}
	return nil
}

func conflictError(name string, several bool) *trackway.Error {
	reason := trackway.OtherValue
	if several {
		reason = trackway.OtherCustomer
	}
	return &trackway.Error{Code: trackway.Conflict, Field: "customer_ids." + name, Reason: reason, What: name}
}

// bySoft adds the holders of the soft identifiers, older first, except those
// that contradict the group. If no hard identifier names the customer, the
// first known soft one does.
func (g *group) bySoft() {
	var others []*Holder
	for i, h := range g.found {
		if h == nil || g.ids[i].Hard || slices.Contains(g.members, h) || slices.Contains(others, h) {
			continue
		}
		if !g.named && len(g.members) == 0 {
			g.members = append(g.members, h)
			continue
		}
		others = append(others, h)
	}
	slices.SortFunc(others, byAge)
	for _, h := range others {
		if _, ok := g.conflict(h); ok {
			g.loose = append(g.loose, h)
		} else {
			g.members = append(g.members, h)
		}
	}
	if !g.named && len(g.loose) > 0 {
		g.leaveLoose()
	}
}

// leaveLoose removes the identifiers of loose holders (see group) from the
// command: a command without a hard identifier cannot take soft ones from them.
// They stay where they are, and a command that repeats them changes nothing.
func (g *group) leaveLoose() {
	ids, found := g.ids, g.found
	g.ids, g.found = nil, nil // the command's own slices must not change
	for i, h := range found {
		if !slices.Contains(g.loose, h) {
			g.ids, g.found = append(g.ids, ids[i]), append(g.found, h)
		}
	}
	g.loose = nil
}

// movedProperties returns how many properties the members have together, except
// the oldest, whose properties stay where they are.
func (g *group) movedProperties() (n int) {
	if len(g.members) < 2 {
		return 0
	}
	for _, h := range g.members {
		n += h.Properties
	}
	return n - slices.MinFunc(g.members, byAge).Properties
}

func byAge(a, b *Holder) int { return cmp.Compare(a.Customer, b.Customer) }

// conflict returns the name of the first hard identifier of h for which the
// command or a member has another value.
func (g *group) conflict(h *Holder) (name string, ok bool) {
	for _, own := range h.IDs {
		if !own.Hard {
			break
		}
		for _, id := range g.ids {
			if id.Hard && id.Name == own.Name && id.Value != own.Value {
				return own.Name, true
			}
		}
		for _, m := range g.members {
			if v, has := m.hard(own.Name); has && v != own.Value {
				return own.Name, true
			}
		}
	}
	return "", false
}

// decide merges the members into the oldest of them, which then holds all their
// identifiers and the command's.
func (g *group) decide(now trackway.Micros) Decision {
	slices.SortFunc(g.members, byAge)
	if len(g.members) == 0 {
		g.members = append(g.members, &Holder{Created: now})
	}
	d := Decision{Holder: g.members[0], Absorbed: g.members[1:]}
	if len(d.Absorbed) == 0 && d.Holder.inFront(g.ids) {
		return d
	}
	d.Changed = true
	if len(d.Absorbed) > 0 {
		d.Before = slices.Clone(d.Holder.IDs)
	}
	for _, m := range d.Absorbed {
		for _, id := range m.IDs {
			if !d.Holder.holds(id.Identifier) {
				d.Holder.IDs = append(d.Holder.IDs, id)
			}
			d.Assign = append(d.Assign, id.Identifier)
		}
	}
	sortIDs(d.Holder.IDs)
	g.use(&d, now)
	d.Holder.cap(&d)
	return d
}

// use gives the holder the command's identifiers and moves them to the front,
// the first named first.
func (g *group) use(d *Decision, now trackway.Micros) {
	h := d.Holder
	few := len(g.ids) <= fewIDs
	var had map[trackway.Identifier]bool
	if !few {
		had = h.set()
	}
	for i, id := range slices.Backward(g.ids) {
		from := g.found[i]
		if slices.Contains(g.loose, from) {
			from.remove(id)
			if !slices.Contains(d.Robbed, from) {
				d.Robbed = append(d.Robbed, from)
			}
		}
		if few && !h.holds(id) || !few && !had[id] {
			d.Assign = append(d.Assign, id)
		}
		if few {
			h.toFront(ID{Identifier: id, Used: now})
		}
	}
	if !few {
		h.allToFront(g.ids, now)
	}
	slices.SortFunc(d.Robbed, byAge)
}

func (h *Holder) remove(id trackway.Identifier) {
	if i := h.index(id); i >= 0 {
		h.IDs = slices.Delete(h.IDs, i, i+1)
	}
}

// toFront adds or moves id to the front of the soft identifiers of its name. It
// inserts a hard one in its place by name.
func (h *Holder) toFront(id ID) {
	if id.Hard {
		if !h.holds(id.Identifier) {
			at := slices.IndexFunc(h.IDs, func(own ID) bool { return !own.Hard || own.Name > id.Name })
			if at < 0 {
				at = len(h.IDs)
			}
			h.IDs = slices.Insert(h.IDs, at, id)
		}
		return
	}
	h.remove(id.Identifier)
	start, _ := h.run(id.Name)
	h.IDs = slices.Insert(h.IDs, start, id)
}

// fewIDs limits how many identifiers of a command are searched for one by one
// among those of a customer. A usual command has one or two, but it may have a
// thousand.
const fewIDs = 16

func (h *Holder) set() map[trackway.Identifier]bool {
	set := make(map[trackway.Identifier]bool, len(h.IDs))
	for i := range h.IDs {
		set[h.IDs[i].Identifier] = true
	}
	return set
}

// allToFront has the effect of calling toFront for each of ids, the last first,
// in one pass.
func (h *Holder) allToFront(ids []trackway.Identifier, now trackway.Micros) {
	named := make(map[trackway.Identifier]bool, len(ids))
	for _, id := range ids {
		named[id] = true
		if id.Hard {
			h.toFront(ID{Identifier: id, Used: now})
		}
	}
	h.IDs = slices.DeleteFunc(h.IDs, func(own ID) bool { return !own.Hard && named[own.Identifier] })
	hard := 0
	for hard < len(h.IDs) && h.IDs[hard].Hard {
		hard++
	}
	all := make([]ID, hard, len(h.IDs)+len(ids))
	copy(all, h.IDs)
	for _, id := range ids {
		if !id.Hard {
			all = append(all, ID{Identifier: id, Used: now})
		}
	}
	all = append(all, h.IDs[hard:]...)
	slices.SortStableFunc(all[hard:], func(a, b ID) int { return strings.Compare(a.Name, b.Name) })
	h.IDs = all
}

// cap drops the longest unused soft identifiers beyond [trackway.MaxSoftIDs] of
// a name, and adds them to d.Release.
func (h *Holder) cap(d *Decision) {
	for i := 0; i < len(h.IDs); {
		id := h.IDs[i]
		if id.Hard {
			i++
			continue
		}
		_, end := h.run(id.Name)
		if over := i + trackway.MaxSoftIDs; over < end {
			for _, dropped := range h.IDs[over:end] {
				d.Release = append(d.Release, dropped.Identifier)
			}
			h.IDs = slices.Delete(h.IDs, over, end)
			end = over
		}
		i = end
	}
	d.leaveReleased()
}

// leaveReleased removes the released identifiers from those to be assigned.
func (d *Decision) leaveReleased() {
	if len(d.Release) == 0 {
		return
	}
	if len(d.Release) <= fewIDs {
		d.Assign = slices.DeleteFunc(d.Assign, func(a trackway.Identifier) bool { return slices.Contains(d.Release, a) })
		return
	}
	released := make(map[trackway.Identifier]bool, len(d.Release))
	for _, id := range d.Release {
		released[id] = true
	}
	d.Assign = slices.DeleteFunc(d.Assign, func(a trackway.Identifier) bool { return released[a] })
}
