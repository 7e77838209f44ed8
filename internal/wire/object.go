package wire

import (
	"slices"
	"strconv"

	"trackway"
)

// propertiesField is the field whose members are a command's properties.
const propertiesField = "properties"

// member is a member of properties or customer_ids before it is kept.
type member struct {
	name       string
	start, end uint32 // of its value, in the body
	dirty      bool   // the value is not in canonical form
}

// usualMembers is how many members an object may have to be read without room
// on the heap, and to be sorted by insertion.
const usualMembers = 16

// shortestMember is how many bytes a member takes in a body, at least.
const shortestMember = len(`"":0,`)

// properties reads the value of "properties": an object or null. It returns
// the members sorted by name, the last of those with the same name only, with
// values in canonical form. Everything is scanned and bounded before anything
// is rewritten or kept.
func (d *decoder) properties() ([]trackway.Property, *trackway.Error) {
	var room [usualMembers]member
	d.peek()
	start := d.i
	members, err := d.collect(propertiesField, room[:0])
	if n := d.i - start; n > trackway.MaxEventBytes && err == nil {
		err = &trackway.Error{
			Code: trackway.TooLarge, Field: propertiesField,
			Msg: "Field '" + propertiesField + "': expected at most " + strconv.Itoa(trackway.MaxEventBytes) + " bytes of JSON, got " + strconv.Itoa(n) + ".",
		}
	}
	if err != nil || d.err != nil {
		return nil, err
	}
	var entries [usualMembers]entry
	order := d.inOrder(entries[:0], members)
	d.makeRoom(len(order))
	at := len(d.kept)
	kept := d.kept[at:]
	for i := range order {
		m := &members[order[i].index]
		value := d.b[m.start:m.end:m.end]
		if m.dirty {
			value = d.rewrite(value)
		}
		kept = append(kept, trackway.Property{Name: m.name, Value: value})
	}
	d.kept = d.kept[:at+len(kept)]
	return slices.Clip(kept), nil
}

// makeRoom makes room for so many properties of one command.
func (d *decoder) makeRoom(n int) {
	if cap(d.kept)-len(d.kept) < n {
		guess := min((len(d.b)-d.i)/bytesPerProperty, maxGuess)
		d.kept = make([]trackway.Property, 0, max(n, guess))
	}
}

// collect reads the value of a field that is an object or null, and returns
// its members as they come: in the room given if that is enough. The values of
// properties are held to the bounds.
func (d *decoder) collect(field string, room []member) ([]member, *trackway.Error) {
	if kind(d.peek()) != objectKind {
		if v := d.value(); !v.absent() {
			return nil, unexpected(field, "an object", v.kind)
		}
		return nil, nil
	}
	members, bounded := room, field == propertiesField
	var err *trackway.Error
	d.base, d.fault = d.depth+1, noFault
	for name := range d.members {
		v := d.value()
		if err != nil {
			continue // what follows must be JSON all the same
		}
		if d.fault != noFault && bounded {
			err = d.fault.of(field + "." + shown(name))
			continue
		}
		if len(members) == cap(members) {
			if len(members) == maxMembers {
				err = invalid(field, "Field '"+field+"': at most "+strconv.Itoa(maxMembers)+" members.")
				continue
			}
			members = d.moreRoom(members)
		}
		end := uint32(d.i)
		members = append(members, member{name, end - uint32(len(v.raw)), end, !v.canonical})
	}
	d.base = 0
	return members, err
}

// moreRoom returns the members in more room. Beyond a few, that is enough for
// all that can come.
func (d *decoder) moreRoom(members []member) []member {
	more := d.spares()
	if cap(more.many) <= len(members) {
		const few = 4 * usualMembers
		n := min((len(d.b)-d.i)/shortestMember+1, maxMembers-len(members))
		if len(members) < few {
			n = min(n, few-len(members))
		}
		more.many = make([]member, 0, len(members)+n)
	}
	return append(more.many[:0], members...)
}

// rewrite returns the text of a value in canonical form.
func (d *decoder) rewrite(raw []byte) []byte {
	if cap(d.rewritten)-len(d.rewritten) < len(raw) {
		d.rewritten = make([]byte, 0, max(len(raw), min(len(d.b), maxGuess)))
	}
	start := len(d.rewritten)
	d.rewritten = d.spares().write(d.rewritten, raw)
	return slices.Clip(d.rewritten[start:])
}

// entry stands for a member while members are sorted. What is sorted are
// small entries without pointers: moving the members themselves, and telling
// the garbage collector each time, took a third of the time of decoding an
// event.
type entry struct {
	prefix uint64 // of its name
	index  int    // among the members
}

// before reports whether e comes before o, another entry: by name, then by index. Most names differ in their first bytes.
func (e entry) before(o entry, members []member) bool {
	return e.prefix < o.prefix || e.prefix == o.prefix && e.beforeInFull(o, members)
}

func (e entry) beforeInFull(o entry, members []member) bool {
	a, b := members[e.index].name, members[o.index].name
	return a < b || a == b && e.index < o.index
}

// inOrder returns an entry for each member, sorted, the last of those with the
// same name only: in the room given if that is enough. A client that sorts
// already pays for a look.
func (d *decoder) inOrder(order []entry, members []member) []entry {
	if len(members) > cap(order) {
		more := d.spares()
		if cap(more.order) < len(members) {
			more.order = make([]entry, 0, len(members))
		}
		order = more.order[:0]
	}
	sorted := true
	for i := range members {
		order = append(order, entry{prefix(members[i].name), i})
		sorted = sorted && (i == 0 || members[i-1].name < members[i].name)
	}
	if sorted {
		return order
	}
	sortEntries(order, members)
	last := 0
	for i := 1; i < len(order); i++ {
		if order[i].prefix != order[last].prefix || members[order[i].index].name != members[order[last].index].name {
			last++
		}
		order[last] = order[i]
	}
	return order[:last+1]
}

func sortEntries(order []entry, members []member) {
	if len(order) > usualMembers {
		slices.SortFunc(order, func(a, b entry) int {
			if a.before(b, members) {
				return -1
			}
			return 1 // never equal: indexes differ
		})
		return
	}
	for i := 1; i < len(order); i++ { // slices.SortFunc does the same, but compares through a pointer
		e, at := order[i], i
		for ; at > 0 && e.before(order[at-1], members); at-- {
			order[at] = order[at-1]
		}
		order[at] = e
	}
}

// prefix returns the first eight bytes of a name as a number that sorts like them, filled up with zeros.
func prefix(name string) (p uint64) {
	if len(name) >= 8 {
		return uint64(name[7]) | uint64(name[6])<<8 | uint64(name[5])<<16 | uint64(name[4])<<24 |
			uint64(name[3])<<32 | uint64(name[2])<<40 | uint64(name[1])<<48 | uint64(name[0])<<56
	}
	for i := range len(name) {
		p |= uint64(name[i]) << (56 - 8*i)
	}
	return p
}
