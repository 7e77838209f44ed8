package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/excerpt"
)

// Draft is the version of JSON Schema.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// Parse compiles a schema for the properties of events: for an object.
func Parse(src []byte) (*Schema, *Problem) {
	if len(src) > MaxBytes {
		return nil, wrong("", "must have at most %d KiB", MaxBytes>>10)
	}
	canonical, p := canonicalOf(src)
	if p != nil {
		return nil, p
	}
	c := compiler{demands: []Demand{{Keyword: "size", What: "less to check"}}}
	for _, member := range split(canonical) {
		if member.Name == "$defs" {
			if canonjson.Kind(member.Value[0]) != canonjson.Object {
				return nil, wrong("/$defs", "must be an object")
			}
			c.defs = split(member.Value)
		}
	}
	root, p := c.schema(canonical, place{})
	if p != nil {
		return nil, p
	}
	if root.kinds&object == 0 {
		return nil, wrong("/type", "must include object: the properties of an event are one")
	}
	for _, def := range c.defs { // unused ones, too
		if _, p := c.schema(def.Value, place{pointer: "/$defs/" + escape(def.Name)}); p != nil {
			return nil, p
		}
	}
	return &Schema{root, c.demands, canonical}, nil
}

func canonicalOf(src []byte) ([]byte, *Problem) {
	s := canonjson.Scan(bytes.TrimPrefix(src, []byte("\ufeff")))
	v, fault := s.Kept()
	s.End()
	if s.Bad() {
		var ignored any
		msg := "is not valid"
		if e, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(src, &ignored)); ok {
			msg = e.Error() + " in line " + strconv.Itoa(1+bytes.Count(src[:min(int(e.Offset), len(src))], []byte("\n")))
		}
		return nil, wrong("", "must be JSON: %s", msg)
	}
	if fault != canonjson.None || v.Kind != canonjson.Object {
		return nil, wrong("", "must be a JSON object within the bounds of values")
	}
	return canonjson.AppendCanonical(nil, v.Raw), nil
}

// split returns the members of an object in canonical form.
func split(raw []byte) []trackway.Property { return canonjson.SplitObject(slices.Clone(raw)) }

// place is where a schema is, and of which value it speaks.
type place struct {
	pointer string // in the schema
	path    string // of the value
	depth   int
	quiet   bool // within anyOf, oneOf or not, which have a demand of their own
}

func (at place) in(part string) place {
	at.pointer += "/" + part
	at.depth++
	return at
}

func (at place) member(name string) place {
	at = at.in(escape(name))
	if at.path != "" {
		at.path += "."
	}
	at.path += excerpt.Of(name, 64)
	return at
}

// escape writes a name as a part of a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(excerpt.Of(name, 64))
}

// compiler compiles one schema.
type compiler struct {
	demands []Demand
	defs    []trackway.Property
	nodes   int
	names   int // in required
}

// demand adds something that the schema demands. A schema within anyOf, oneOf
// or not has no demands of its own.
func (c *compiler) demand(at place, keyword, what string) int {
	if at.quiet {
		return tooMuch // any number will do: nobody sees it
	}
	c.demands = append(c.demands, Demand{at.path, keyword, what})
	return len(c.demands) - 1
}

func (c *compiler) schema(raw []byte, at place) (*node, *Problem) {
	if c.nodes++; c.nodes > maxNodes {
		return nil, wrong(at.pointer, "is one schema too many: at most %d, after each $ref is replaced", maxNodes)
	}
	if at.depth > 2*maxDepth {
		return nil, wrong(at.pointer, "is nested too deeply: a $ref must not lead to itself")
	}
	n := &node{kinds: anything, lengths: unbounded, amount: unbounded, length: unbounded, closed: none}
	switch canonjson.Kind(raw[0]) {
	case canonjson.True:
		return n, nil
	case canonjson.False:
		n.kinds = 0
		n.typed = c.demand(at, "false", "no property of this name")
		return n, nil
	case canonjson.Object:
	default:
		return nil, wrong(at.pointer, "must be a schema: an object, true or false")
	}
	keywords := split(raw)
	for i := range keywords {
		if keywords[i].Name == "$ref" {
			return c.ref(keywords, at)
		}
	}
	for i := range keywords {
		if p := c.keyword(n, keywords[i].Name, keywords[i].Value, at); p != nil {
			return nil, p
		}
	}
	slices.SortFunc(n.members, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return n, nil
}

// ref compiles what a $ref refers to.
func (c *compiler) ref(keywords []trackway.Property, at place) (*node, *Problem) {
	var target string
	for i := range keywords {
		switch k := &keywords[i]; {
		case k.Name == "$ref":
			if json.Unmarshal(k.Value, &target) != nil {
				return nil, wrong(at.pointer+"/$ref", "must be a text")
			}
		case !isAnnotation(k.Name):
			return nil, wrong(at.pointer+"/"+escape(k.Name), "must not stand beside $ref")
		default:
			if p := c.keyword(nil, k.Name, k.Value, at); p != nil { // an annotation changes no node
				return nil, p
			}
		}
	}
	name, local := strings.CutPrefix(target, "#/$defs/")
	if !local {
		return nil, wrong(at.pointer+"/$ref", "must refer to #/$defs/…: nothing is fetched")
	}
	name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	for i := range c.defs {
		if c.defs[i].Name == name {
			at.depth += 2
			return c.schema(c.defs[i].Value, at)
		}
	}
	return nil, wrong(at.pointer+"/$ref", "refers to nothing: there is no such name in $defs")
}

func isAnnotation(name string) bool {
	return slices.Contains([]string{"$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}, name)
}

// keyword compiles one keyword.
func (c *compiler) keyword(n *node, name string, raw []byte, at place) *Problem {
	within := at.in(name)
	switch name {
	case "$schema":
		if at.pointer != "" || !bytes.Equal(bytes.TrimSuffix(raw, []byte(`#"`)), []byte(`"`+Draft)) && string(raw) != `"`+Draft+`"` {
			return wrong(within.pointer, "must be %s, in the whole schema only", Draft)
		}
	case "$defs", "$id":
		// An $id within a schema makes a schema of its own there, so that each
		// $ref below it would refer to other $defs (JSON Schema Core 2020-12,
		// section 8.2.1).
		if at.pointer != "" {
			return wrong(within.pointer, "must be in the whole schema only")
		}
	case "type":
		return c.types(n, raw, at)
	case "enum", "const":
		return c.enum(n, name, raw, at)
	case "pattern":
		return c.pattern(n, raw, at)
	case "format":
		return c.format(n, raw, at)
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum":
		return c.bound(n, name, raw, at)
	case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties":
		return c.size(n, name, raw, at)
	case "properties":
		return c.properties(n, raw, at)
	case "required":
		return c.required(n, raw, at)
	case "additionalProperties":
		return c.additional(n, raw, at)
	case "items":
		within.path += "[]"
		elements, p := c.schema(raw, within)
		n.elements = elements
		return p
	case "allOf", "anyOf", "oneOf":
		return c.variants(n, name, raw, at)
	case "not":
		within.quiet = true
		not, p := c.schema(raw, within)
		n.not, n.notOf = not, c.demand(at, name, "something that not excludes does not match")
		return p
	default:
		if !isAnnotation(name) {
			return wrong(within.pointer, "is not a keyword that is known here: see docs/contracts.md")
		}
	}
	return nil
}

// typeName is a type as a schema names it.
type typeName struct {
	name string
	of   kinds
	what string
}

var typeNames = []typeName{
	{"object", object, "an object"},
	{"array", array, "an array"},
	{"string", text, "a text"},
	{"number", number | integer, "a number"},
	{"integer", integer, "a whole number"},
	{"boolean", boolean, "true or false"},
	{"null", null, "null"},
}

func (c *compiler) types(n *node, raw []byte, at place) *Problem {
	var names []string
	if raw[0] != '[' {
		raw = slices.Concat([]byte("["), raw, []byte("]"))
	}
	bad := wrong(at.pointer+"/type", "must be object, array, string, number, integer, boolean or null, or a list of these")
	if json.Unmarshal(raw, &names) != nil || len(names) == 0 {
		return bad
	}
	n.kinds = 0
	var words []string
	for _, name := range names {
		i := slices.IndexFunc(typeNames, func(t typeName) bool { return t.name == name })
		if i < 0 {
			return bad
		}
		n.kinds |= typeNames[i].of
		words = append(words, typeNames[i].what)
	}
	n.typed = c.demand(at, "type", strings.Join(words, " or "))
	return nil
}

func (c *compiler) enum(n *node, keyword string, raw []byte, at place) *Problem {
	if n.enum != nil {
		return wrong(at.pointer+"/"+keyword, "must not stand beside const")
	}
	s := canonjson.Scan(raw)
	switch {
	case keyword == "const":
		n.enum = [][]byte{raw}
	case raw[0] != '[':
		return wrong(at.pointer+"/enum", "must be a list of values")
	default:
		for range s.Elements {
			n.enum = append(n.enum, s.Value().Raw)
		}
	}
	if len(n.enum) == 0 || len(n.enum) > maxEnum {
		return wrong(at.pointer+"/enum", "must have 1 to %d values", maxEnum)
	}
	for _, value := range n.enum {
		if value[0] == '{' || value[0] == '[' {
			return wrong(at.pointer+"/"+keyword, "must have texts, numbers, true, false or null only")
		}
	}
	words := string(bytes.Join(n.enum, []byte(", ")))
	if len(n.enum) > 1 {
		words = "one of " + words
	}
	n.listed = c.demand(at, keyword, excerpt.Of(words, 200))
	return nil
}

func (c *compiler) pattern(n *node, raw []byte, at place) *Problem {
	var expr string
	if json.Unmarshal(raw, &expr) != nil || len(expr) > maxPattern {
		return wrong(at.pointer+"/pattern", "must be a text of at most %d bytes", maxPattern)
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return wrong(at.pointer+"/pattern", "must be a regular expression as RE2 has them: %v", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return wrong(at.pointer+"/pattern", "is too large a regular expression: it has large counts such as {1000}")
	}
	if n.pattern, err = regexp.Compile(expr); err != nil {
		return wrong(at.pointer+"/pattern", "must be a regular expression as RE2 has them: %v", err)
	}
	n.program = len(program.Inst)
	n.matches = c.demand(at, "pattern", "a text that matches "+excerpt.Of(expr, 100))
	return nil
}

func (c *compiler) format(n *node, raw []byte, at place) *Problem {
	var name string
	_ = json.Unmarshal(raw, &name) // then it is unknown
	f, ok := formats[name]
	if !ok {
		return wrong(at.pointer+"/format", "must be one of %s", strings.Join(formatNames(), ", "))
	}
	n.format, n.formed = f.is, c.demand(at, "format", f.what)
	return nil
}

func (c *compiler) bound(n *node, keyword string, raw []byte, at place) *Problem {
	if valueOf(raw).kind != canonjson.Number {
		return wrong(at.pointer+"/"+keyword, "must be a number")
	}
	b := bound{value: raw, upper: strings.HasSuffix(keyword, "aximum"), itself: keyword[0] == 'm'}
	words := map[string]string{"minimum": "of at least", "maximum": "of at most", "exclusiveMinimum": "greater than", "exclusiveMaximum": "less than"}[keyword]
	b.demand = c.demand(at, keyword, "a number "+words+" "+string(raw))
	n.bounds = append(n.bounds, b)
	return nil
}

func (c *compiler) size(n *node, keyword string, raw []byte, at place) *Problem {
	size, err := strconv.ParseInt(string(raw), 10, 32)
	if err != nil || size < 0 {
		return wrong(at.pointer+"/"+keyword, "must be a whole number of at least 0")
	}
	of, unit := &n.lengths, "character"
	switch keyword[len("min"):] {
	case "Items":
		of, unit = &n.length, "element"
	case "Properties":
		of, unit = &n.amount, "property"
	}
	if size != 1 {
		unit = strings.Replace(unit+"s", "ys", "ies", 1)
	}
	if keyword[:3] == "min" {
		of.least, of.tooFew = int(size), c.demand(at, keyword, "at least "+string(raw)+" "+unit)
	} else {
		of.most, of.tooMany = int(size), c.demand(at, keyword, "at most "+string(raw)+" "+unit)
	}
	return nil
}

// member returns the member of a name, which it adds if it is new.
func (n *node) member(name string) *member {
	i := slices.IndexFunc(n.members, func(m member) bool { return m.name == name })
	if i < 0 {
		i = len(n.members)
		n.members = append(n.members, member{name: name, required: none})
	}
	return &n.members[i]
}

func (c *compiler) properties(n *node, raw []byte, at place) *Problem {
	if raw[0] != '{' {
		return wrong(at.pointer+"/properties", "must be an object of schemas")
	}
	path := at
	path.pointer += "/properties"
	for _, property := range split(raw) {
		value, p := c.schema(property.Value, path.member(property.Name))
		if p != nil {
			return p
		}
		n.member(property.Name).value = value
		n.member(property.Name).listed = true
	}
	return nil
}

func (c *compiler) required(n *node, raw []byte, at place) *Problem {
	var names []string
	if json.Unmarshal(raw, &names) != nil || len(names) > maxNodes {
		return wrong(at.pointer+"/required", "must be a list of names")
	}
	if c.names += len(names); c.names > maxNames {
		return wrong(at.pointer+"/required", "has too many names: all have at most %d, after each $ref is replaced", maxNames)
	}
	for _, name := range names {
		n.member(name).required = c.demand(at.member(name), "required", "")
	}
	return nil
}

func (c *compiler) additional(n *node, raw []byte, at place) *Problem {
	if raw[0] == 'f' {
		n.closed = c.demand(at, "additionalProperties", "no other property")
		return nil
	}
	within := at.in("additionalProperties")
	within.path = strings.TrimPrefix(at.path+".*", ".")
	others, p := c.schema(raw, within)
	n.others = others
	return p
}

func (c *compiler) variants(n *node, keyword string, raw []byte, at place) *Problem {
	bad := wrong(at.pointer+"/"+keyword, "must be a list of 1 to %d schemas", maxVariants)
	if raw[0] != '[' {
		return bad
	}
	var list []*node
	s := canonjson.Scan(raw)
	for i := range s.Elements {
		within := at.in(keyword + "/" + strconv.Itoa(i))
		within.quiet = at.quiet || keyword != "allOf"
		one, p := c.schema(s.Value().Raw, within)
		if p != nil {
			return p
		}
		list = append(list, one)
	}
	if len(list) == 0 || len(list) > maxVariants {
		return bad
	}
	switch keyword {
	case "allOf":
		n.all = list
	case "anyOf":
		n.any, n.anyOf = list, c.demand(at, keyword, "something that matches a schema of anyOf")
	default:
		n.one, n.oneOf = list, c.demand(at, keyword, "something that matches exactly one schema of oneOf")
	}
	return nil
}
