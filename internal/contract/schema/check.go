package schema

import (
	"bytes"
	"unicode/utf8"
	"unsafe"

	"trackway"
	"trackway/internal/canonjson"
)

// Fault is the first demand that an event breaks.
type Fault struct {
	Demand int            // index in [Schema.Demands]
	Got    canonjson.Kind // of the value at fault; 0 if nothing is there
	Name   string         // of a property that the schema excludes; a part of the event
	Raw    []byte         // the value at fault, or nil; a part of the event
}

// The work for an event, in units of about a byte that is looked at. An event
// that takes more breaks its contract.
const (
	workBase = 64 << 10
	workByte = 8 // for each byte of the event
	perInst  = 8 // instructions of a regular expression that cost as much as a byte
)

// Check checks the properties of an event, sorted by name and in canonical
// form. It ignores [trackway.Quarantined]. It reports false if they break the
// schema. Its work is at most some multiple of their size.
func (s *Schema) Check(properties []trackway.Property) (Fault, bool) {
	size := 0
	for i := range properties {
		size += len(properties[i].Name) + len(properties[i].Value)
	}
	c := checker{left: workBase + workByte*size, fault: Fault{Demand: none}}
	ok := c.node(s.root, value{kind: canonjson.Object, properties: properties})
	if c.left < 0 {
		c.fault, ok = Fault{Demand: tooMuch}, false
	}
	return c.fault, ok
}

// value is a JSON value. Of an event as a whole, raw is empty.
type value struct {
	kind       canonjson.Kind
	raw        []byte
	properties []trackway.Property
}

// valueOf returns the value of a text in canonical form.
func valueOf(raw []byte) value {
	k := canonjson.Kind(raw[0])
	if k == '-' || k >= '0' && k <= '9' {
		k = canonjson.Number
	}
	return value{kind: k, raw: raw}
}

// checker checks one event.
type checker struct {
	left  int // units of work
	fault Fault
}

// breaks notes the demand that a value breaks.
func (c *checker) breaks(demand int, v value) bool {
	c.fault = Fault{Demand: demand, Got: v.kind, Raw: v.raw}
	return false
}

// work takes some work, and reports whether that much is left.
func (c *checker) work(units int) bool {
	c.left -= units
	return c.left >= 0
}

// node reports whether a value keeps a schema.
func (c *checker) node(n *node, v value) bool {
	if !c.work(1) {
		return false
	}
	if k := kindOf(v.kind); n.kinds&k == 0 && (k != number || n.kinds&integer == 0 || !canonjson.IsInteger(v.raw)) {
		return c.breaks(n.typed, v)
	}
	if n.enum != nil && !c.lists(n, v) {
		return c.breaks(n.listed, v)
	}
	ok := true
	switch v.kind {
	case canonjson.String:
		ok = c.text(n, v)
	case canonjson.Number:
		ok = c.number(n, v)
	case canonjson.Object:
		ok = c.object(n, v)
	case canonjson.Array:
		ok = c.array(n, v)
	default:
	}
	return ok && (n.all == nil && n.any == nil && n.one == nil && n.not == nil || c.variants(n, v))
}

// lists reports whether a value is one of an enum.
func (c *checker) lists(n *node, v value) bool {
	if !c.work(len(v.raw) + len(n.enum)) {
		return false
	}
	for _, one := range n.enum {
		switch {
		case v.kind == canonjson.Number && (one[0] == '-' || one[0] >= '0' && one[0] <= '9'):
			if canonjson.CompareNumbers(one, v.raw) == 0 {
				return true
			}
		case bytes.Equal(one, v.raw):
			return true
		}
	}
	return false
}

func (c *checker) text(n *node, v value) bool {
	if n.lengths == unbounded && n.pattern == nil && n.format == nil {
		return true
	}
	content := v.raw[1 : len(v.raw)-1]
	if !c.work(len(content) * (1 + (n.program+perInst-1)/perInst)) {
		return false
	}
	s := unsafe.String(unsafe.SliceData(content), len(content)) //nolint:gosec // G103: it is only read, and not kept
	if bytes.IndexByte(content, '\\') >= 0 {
		scan := canonjson.Scan(v.raw)
		s = scan.Value().Text()
	}
	if n.lengths != unbounded {
		if demand := n.lengths.broken(utf8.RuneCountInString(s)); demand != none {
			return c.breaks(demand, v)
		}
	}
	if n.pattern != nil && !n.pattern.MatchString(s) {
		return c.breaks(n.matches, v)
	}
	if n.format != nil && !n.format(s) {
		return c.breaks(n.formed, v)
	}
	return true
}

func (c *checker) number(n *node, v value) bool {
	for i := range n.bounds {
		b := &n.bounds[i]
		order := canonjson.CompareNumbers(v.raw, b.value)
		if b.upper {
			order = -order
		}
		if order < 0 || order == 0 && !b.itself {
			return c.breaks(b.demand, v)
		}
	}
	return true
}

func (c *checker) array(n *node, v value) bool {
	if n.elements == nil && n.length == unbounded {
		return true
	}
	if !c.work(len(v.raw)) {
		return false
	}
	count := 0
	s := canonjson.Scan(v.raw)
	for range s.Elements {
		count++
		if one := s.Value(); n.elements != nil && !c.node(n.elements, value{kind: one.Kind, raw: one.Raw}) {
			return false
		}
	}
	if demand := n.length.broken(count); demand != none {
		return c.breaks(demand, v)
	}
	return true
}

func (c *checker) object(n *node, v value) bool {
	if n.members == nil && n.closed == none && n.others == nil && n.amount == unbounded {
		return true
	}
	w := walk{c: c, n: n}
	if !c.work(len(n.members)) {
		return false
	}
	if v.raw == nil {
		for i := range v.properties {
			p := &v.properties[i]
			if p.Name != trackway.Quarantined && !w.member(p.Name, valueOf(p.Value)) {
				return false
			}
		}
	} else {
		if !c.work(len(v.raw)) {
			return false
		}
		s := canonjson.Scan(v.raw)
		for name := range s.Members {
			if one := s.Value(); !w.member(name, value{kind: one.Kind, raw: one.Raw}) {
				return false
			}
		}
	}
	if !w.upTo(len(n.members)) {
		return false
	}
	if demand := n.amount.broken(w.count); demand != none {
		return c.breaks(demand, v)
	}
	return true
}

// walk walks over the members of an object and of a schema at the same time.
// Both are sorted.
type walk struct {
	c     *checker
	n     *node
	at    int // the member of the schema that comes next
	count int // of the object's members
}

// upTo passes members of the schema that the object does not have.
func (w *walk) upTo(end int) bool {
	for ; w.at < end; w.at++ {
		if required := w.n.members[w.at].required; required != none {
			return w.c.breaks(required, value{})
		}
	}
	return true
}

// member checks the next member of the object.
func (w *walk) member(name string, v value) bool {
	w.count++
	end := w.at
	for end < len(w.n.members) && w.n.members[end].name < name {
		end++
	}
	if !w.c.work(1+end-w.at) || !w.upTo(end) {
		return false
	}
	if end < len(w.n.members) && w.n.members[end].name == name {
		m := &w.n.members[end]
		w.at++
		if m.listed {
			return w.c.node(m.value, v)
		}
	}
	switch {
	case w.n.closed != none:
		w.c.fault = Fault{Demand: w.n.closed, Got: v.kind, Name: name, Raw: v.raw}
		return false
	case w.n.others != nil:
		return w.c.node(w.n.others, v)
	}
	return true
}

func (c *checker) variants(n *node, v value) bool {
	for _, one := range n.all {
		if !c.node(one, v) {
			return false
		}
	}
	if n.any != nil && c.count(n.any, v, 1) == 0 {
		return c.breaks(n.anyOf, v)
	}
	if n.one != nil && c.count(n.one, v, 2) != 1 {
		return c.breaks(n.oneOf, v)
	}
	if n.not != nil && c.node(n.not, v) {
		return c.breaks(n.notOf, v)
	}
	c.fault = Fault{Demand: none} // of a variant that may be broken
	return c.left >= 0
}

// count returns how many of some schemas a value keeps, up to a number.
func (c *checker) count(of []*node, v value, most int) (n int) {
	for _, one := range of {
		if n < most && c.node(one, v) {
			n++
		}
	}
	return n
}
