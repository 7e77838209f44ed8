package canonjson

import (
	"slices"

	"trackway"
)

// Decoder is a scanner that collects objects: their members sorted by name,
// with values in canonical form. Of several members with the same name, it
// keeps only the last. The members of all objects of a text share a few slices.
// A complete object takes a part of one slice, or begins a new slice if it does
// not fit, so nothing is moved or kept twice. Names and values in canonical
// form are parts of the text.
type Decoder struct {
	Scanner

	kept      []trackway.Property // of all objects
	rewritten []byte              // values that were not in canonical form
	spare     *spare              // nil until needed

	// for the object that is read, if it has few members
	members [Usual]Member
	entries [Usual]Entry

	// the order of the last object of each number of members, if they were few
	// and had to be sorted: a client sends all its objects with their members
	// in the same order
	before [Usual + 1]struct {
		order [Usual]uint8
		known bool
	}
}

// spare is memory that few objects need, reused for each of them.
type spare struct {
	writer

	many  []Member // members of an object, beyond a few
	order []Entry  // entries of an object, beyond a few
}

// spares returns d's spare memory.
func (d *Decoder) spares() *spare {
	if d.spare == nil {
		d.spare = new(spare)
	}
	return d.spare
}

const (
	bytesPerProperty = 40      // of a text: a guess that saves growing
	maxGuess         = 1 << 10 // properties, and bytes of rewritten values, to make room for in advance
)

// Decode returns a decoder at the beginning of a text with many properties.
func Decode(text []byte) Decoder {
	return Decoder{Scanner: Scan(text)}
}

// Reuse gives the decoder memory for properties, whose content it overwrites.
// REQUIRES: it has decoded nothing yet.
func (d *Decoder) Reuse(room []trackway.Property) { d.kept = room[:0] }

// Room returns the memory for a later [Decoder.Reuse], once nobody uses the
// properties of this text any more.
func (d *Decoder) Room() []trackway.Property { return d.kept[:0] }

// Member is a collected member of an object.
type Member struct {
	Name       string
	start, end uint32 // of its value, in the text
	dirty      bool   // the value is not in canonical form
	plain      bool   // the value is a string without escapes
}

// Raw returns the value of a member as it was sent.
func (d *Decoder) Raw(m *Member) []byte { return d.b[m.start:m.end:m.end] }

// ValueOf returns the value of a member without reading it again.
func (d *Decoder) ValueOf(m *Member) Value {
	v := Value{Raw: d.Raw(m), Canonical: !m.dirty, plain: m.plain}
	if v.Kind = Kind(v.Raw[0]); v.Kind == '-' || isDigit(v.Raw[0]) {
		v.Kind = Number
	}
	return v
}

// Usual is how many members an object may have to be read without heap memory
// and to be sorted by insertion.
const Usual = 16

// shortestMember is the minimum size of a member in a body, in bytes.
const shortestMember = len(`"":0,`)

// Properties reads an object or null. It scans the whole object and checks its
// bounds before it rewrites or keeps anything.
func (d *Decoder) Properties() ([]trackway.Property, Problem) {
	d.peek()
	start := d.i
	members, problem := d.Collect(d.members[:0], true)
	if n := d.i - start; n > trackway.MaxEventBytes && problem.Fault == None {
		problem = Problem{Fault: TooLarge, Bytes: n}
	}
	if problem.Fault != None || d.bad {
		return nil, problem
	}
	order := d.InOrder(d.entries[:0], members)
	d.makeRoom(len(order))
	at := len(d.kept)
	d.kept = d.kept[:at+len(order)]
	kept := d.kept[at:]
	for i := range order {
		m := &members[order[i].Index]
		value := d.Raw(m)
		if m.dirty {
			value = d.rewrite(value)
		}
		// field by field: a processor waits before it copies a fresh struct
		p := &kept[i]
		p.Name, p.Value = m.Name, value
	}
	return slices.Clip(kept), Problem{}
}

// makeRoom makes room for n properties of one command.
func (d *Decoder) makeRoom(n int) {
	if cap(d.kept)-len(d.kept) < n {
		guess := min((len(d.b)-d.i)/bytesPerProperty, maxGuess)
		d.kept = make([]trackway.Property, 0, max(n, guess))
	}
}

// Collect reads an object or null and returns its members in the order of the
// text. It uses the given room if that is enough. If bounded is set, values
// must keep the bounds.
func (d *Decoder) Collect(room []Member, bounded bool) (members []Member, p Problem) {
	if d.Peek() != Object {
		if v := d.Value(); !v.Absent() {
			p = Problem{Fault: NotObject, Kind: v.Kind}
		}
		return nil, p
	}
	members = room
	d.base, d.fault = d.depth+1, None
	// the loop of Members, without a call for each member
	d.open('{')
	for d.next('}') {
		raw, plain := d.name()
		if d.bad {
			break
		}
		name := text(raw, plain)
		v := d.Value()
		if p.Fault != None {
			continue // the rest must still be JSON
		}
		if d.fault != None && bounded {
			p = Problem{Fault: d.fault, Name: name}
			continue
		}
		if len(members) == cap(members) {
			if len(members) == MaxMembers {
				p = Problem{Fault: TooMany}
				continue
			}
			members = d.moreRoom(members)
		}
		end := uint32(d.i)
		members = members[:len(members)+1]
		m := &members[len(members)-1]
		m.Name, m.start, m.end, m.dirty, m.plain = name, end-uint32(len(v.Raw)), end, !v.Canonical, v.plain
	}
	d.base = 0
	return members, p
}

// moreRoom moves the members to a larger slice. Beyond a few members, it has
// room for all that can come.
func (d *Decoder) moreRoom(members []Member) []Member {
	more := d.spares()
	if cap(more.many) <= len(members) {
		const few = 4 * Usual
		n := min((len(d.b)-d.i)/shortestMember+1, MaxMembers-len(members))
		if len(members) < few {
			n = min(n, few-len(members))
		}
		more.many = make([]Member, 0, len(members)+n)
	}
	return append(more.many[:0], members...)
}

// Canonical returns a value in canonical form. It must be within the bounds:
// see [Scanner.Kept]. A value that has that form already is returned as it is.
func (d *Decoder) Canonical(v Value) []byte {
	if v.Canonical {
		return v.Raw
	}
	return d.rewrite(v.Raw)
}

// rewrite returns the text of a value in canonical form.
func (d *Decoder) rewrite(raw []byte) []byte {
	if cap(d.rewritten)-len(d.rewritten) < len(raw) {
		d.rewritten = make([]byte, 0, max(len(raw), min(len(d.b), maxGuess)))
	}
	start := len(d.rewritten)
	d.rewritten = d.spares().write(d.rewritten, raw)
	return slices.Clip(d.rewritten[start:])
}

// Entry stands for a member during sorting. Entries are small and contain no
// pointers: moving the members themselves, and telling the garbage collector
// each time, took a third of the time of decoding an event.
type Entry struct {
	prefix uint64 // of its name
	Index  int    // among the members
}

// before reports whether e comes before o: by name, then by index. Most names
// differ in their first bytes.
func (e Entry) before(o Entry, members []Member) bool {
	return e.prefix < o.prefix || e.prefix == o.prefix && e.beforeInFull(o, members)
}

// beforeByName reports whether e's name comes before o's.
func (e Entry) beforeByName(o Entry, members []Member) bool {
	return e.prefix < o.prefix || e.prefix == o.prefix && members[e.Index].Name < members[o.Index].Name
}

func (e Entry) beforeInFull(o Entry, members []Member) bool {
	a, b := members[e.Index].Name, members[o.Index].Name
	return a < b || a == b && e.Index < o.Index
}

// InOrder returns an entry for each member, sorted. Of several members with the
// same name, it keeps only the last. It uses the given room if that is enough.
// If the members are already sorted, it only checks their order.
func (d *Decoder) InOrder(order []Entry, members []Member) []Entry {
	if len(members) > cap(order) {
		more := d.spares()
		if cap(more.order) < len(members) {
			more.order = make([]Entry, 0, len(members))
		}
		order = more.order[:0]
	}
	sorted := true
	order = order[:len(members)]
	for i := range members {
		order[i].prefix, order[i].Index = prefix(members[i].Name), i
		sorted = sorted && (i == 0 || members[i-1].Name < members[i].Name)
	}
	if sorted || d.sortAsBefore(order, members) {
		return order
	}
	sortEntries(order, members)
	if len(order) <= Usual {
		before := &d.before[len(order)]
		before.known = true
		for i := range order {
			before.order[i] = uint8(order[i].Index)
		}
	}
	last := 0
	for i := 1; i < len(order); i++ {
		if order[i].prefix != order[last].prefix || members[order[i].Index].Name != members[order[last].Index].Name {
			last++
		}
		order[last] = order[i]
	}
	return order[:last+1]
}

// sortAsBefore puts the entries into the order of the last object, and reports
// whether they are then sorted by name, without equal names. If not, it changes
// nothing.
func (d *Decoder) sortAsBefore(order []Entry, members []Member) bool {
	if len(order) > Usual || !d.before[len(order)].known {
		return false
	}
	before := d.before[len(order)].order[:len(order)]
	for i := 1; i < len(before); i++ {
		if !order[before[i-1]].beforeByName(order[before[i]], members) {
			return false
		}
	}
	for i, at := range before { // nobody needs the prefixes any more
		order[i].Index = int(at)
	}
	return true
}

func sortEntries(order []Entry, members []Member) {
	if len(order) > Usual {
		slices.SortFunc(order, func(a, b Entry) int {
			if a.before(b, members) {
				return -1
			}
			return 1 // never equal: indexes differ
		})
		return
	}
	// slices.SortFunc does the same, but compares through a pointer.
	for i := 1; i < len(order); i++ {
		e, at := order[i], i
		for ; at > 0 && e.before(order[at-1], members); at-- {
			order[at] = order[at-1]
		}
		order[at] = e
	}
}

// prefix returns the first eight bytes of a name as a number that sorts like
// them, padded with zeros.
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
