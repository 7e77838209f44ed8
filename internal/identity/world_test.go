package identity

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"

	"trackway"
)

var hardNames = []string{"email", "phone", "registered"}

func identifier(name, value string) trackway.Identifier {
	return trackway.Identifier{Name: name, Value: value, Hard: slices.Contains(hardNames, name)}
}

// world carries out decisions as a store does, using nothing but their fields.
// This shows whether the fields are sufficient.
type world struct {
	index   map[trackway.Identifier]trackway.Customer
	holders map[trackway.Customer]*Holder
	next    trackway.Customer
	now     trackway.Micros
}

func newWorld() *world {
	return &world{
		index:   make(map[trackway.Identifier]trackway.Customer),
		holders: make(map[trackway.Customer]*Holder),
		next:    1,
	}
}

// send resolves one command and carries out the decision. broken describes a
// broken promise of [Decision], "" if it keeps them all.
func (w *world) send(ids []trackway.Identifier) (d Decision, refused *trackway.Error, broken string) {
	w.now++
	before := w.clone()
	found := make([]*Holder, len(ids))
	for i, id := range ids {
		found[i] = w.holders[w.index[id]]
	}
	named := slices.Clone(ids)
	d, refused = Resolve(ids, found, w.now)
	if !slices.Equal(ids, named) {
		return d, refused, "the command's identifiers were changed"
	}
	if refused != nil {
		return d, refused, w.unchanged(before)
	}
	if broken = w.promises(before, &d, ids); broken == "" {
		w.carryOut(&d)
		broken = w.inconsistency()
	}
	return d, nil, broken
}

func (w *world) carryOut(d *Decision) {
	if d.Holder.Customer == 0 {
		d.Holder.Customer = w.next
		w.holders[w.next] = d.Holder
		w.next++
	}
	for _, id := range d.Release {
		delete(w.index, id)
	}
	for _, id := range d.Assign {
		w.index[id] = d.Holder.Customer
	}
	for _, absorbed := range d.Absorbed {
		*absorbed = Holder{Customer: absorbed.Customer, Created: absorbed.Created, MergedInto: d.Holder.Customer}
	}
}

func (w *world) clone() map[trackway.Customer]Holder {
	all := make(map[trackway.Customer]Holder, len(w.holders))
	for c, h := range w.holders {
		copied := *h
		copied.IDs = slices.Clone(h.IDs)
		all[c] = copied
	}
	return all
}

func (w *world) unchanged(before map[trackway.Customer]Holder) string {
	if diff := cmp.Diff(before, w.clone()); diff != "" {
		return "a refused command changed a customer: " + diff
	}
	return ""
}

// promises checks a decision against the comments of [Decision] before send
// carries it out.
func (w *world) promises(before map[trackway.Customer]Holder, d *Decision, ids []trackway.Identifier) string {
	for c, h := range w.holders {
		if slices.Contains(d.Robbed, h) || (h == d.Holder && d.Changed) {
			continue
		}
		// Including absorbed holders: they still list their former identifiers.
		if was := before[c]; !cmp.Equal(was, *h) {
			return fmt.Sprintf("customer %d was changed and the decision does not say so: %s", c, cmp.Diff(was, *h))
		}
	}
	if len(d.Absorbed) > 0 && !cmp.Equal(d.Before, before[d.Holder.Customer].IDs) {
		return fmt.Sprintf("Before is %v", d.Before)
	}
	for _, absorbed := range d.Absorbed {
		if absorbed.Customer <= d.Holder.Customer {
			return fmt.Sprintf("customer %d survives the older %d", d.Holder.Customer, absorbed.Customer)
		}
	}
	for _, group := range [][]*Holder{d.Absorbed, d.Robbed} {
		if !slices.IsSortedFunc(group, byAge) {
			return "the older does not come first"
		}
	}
	if d.Holder.Customer == 0 && d.Holder.Created != w.now {
		return "a new customer was not created now"
	}
	return w.lists(before, d, ids)
}

func (w *world) lists(before map[trackway.Customer]Holder, d *Decision, ids []trackway.Identifier) string {
	for i, id := range d.Assign {
		was := before[w.index[id]]
		switch {
		case slices.Contains(d.Assign[:i], id):
			return fmt.Sprintf("%v is assigned twice", id)
		case !d.Holder.holds(id):
			return fmt.Sprintf("%v is assigned and not held", id)
		case was.Customer != 0 && was.Customer == d.Holder.Customer:
			return fmt.Sprintf("%v is assigned to whom it led already", id)
		}
	}
	for _, id := range d.Release {
		if slices.Contains(ids, id) {
			return fmt.Sprintf("%v is named by the command and dropped", id)
		}
		if w.index[id] == 0 {
			return fmt.Sprintf("%v is dropped and was never held", id)
		}
	}
	return ""
}

// inconsistency describes a contradiction between the index and the customers,
// or a customer that breaks the invariant of [Holder].
func (w *world) inconsistency() string {
	held := make(map[trackway.Identifier]trackway.Customer)
	for _, c := range slices.Sorted(maps.Keys(w.holders)) {
		h := w.holders[c]
		if h.MergedInto != 0 && len(h.IDs) > 0 {
			return fmt.Sprintf("customer %d was absorbed and holds %v", c, h.IDs)
		}
		for _, id := range h.IDs {
			if other := held[id.Identifier]; other != 0 {
				return fmt.Sprintf("%v is held by %d and by %d", id, other, c)
			}
			held[id.Identifier] = c
		}
		if broken := disorder(h.IDs); broken != "" {
			return fmt.Sprintf("customer %d: %s", c, broken)
		}
	}
	if diff := cmp.Diff(held, w.index); diff != "" {
		return "the index is not what the customers hold: " + diff
	}
	return ""
}

// disorder describes how ids break the invariant of [Holder].
func disorder(ids []ID) string {
	count := 1
	for i := 1; i < len(ids); i++ {
		a, b := ids[i-1], ids[i]
		count++
		if a.Name != b.Name || a.Hard != b.Hard {
			count = 1
		}
		switch {
		case !a.Hard && b.Hard:
			return fmt.Sprintf("soft %v before hard %v", a, b)
		case a.Hard == b.Hard && a.Name > b.Name:
			return fmt.Sprintf("%v before %v", a, b)
		case a.Hard && a.Name == b.Name:
			return fmt.Sprintf("two hard identifiers of a name: %v, %v", a, b)
		case count > 1 && a.Used < b.Used:
			return fmt.Sprintf("%v was used before %v and stands in front of it", a, b)
		case count > trackway.MaxSoftIDs:
			return fmt.Sprintf("more than %d of %s", trackway.MaxSoftIDs, b.Name)
		}
	}
	return ""
}
