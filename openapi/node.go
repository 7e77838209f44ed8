package openapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// node is a value of the document. A missing value is an empty node.
// References are followed.
type node struct {
	root yaml.MapSlice
	v    any
}

// get returns a member of an object.
func (n node) get(name string) node {
	m, _ := n.v.(yaml.MapSlice)
	own := n.member(m, name)
	if target, ok := n.member(m, "$ref").v.(string); ok && own.v == nil {
		return n.resolve(target).get(name)
	}
	return own
}

func (n node) member(m yaml.MapSlice, name string) node {
	for _, item := range m {
		if item.Key == name {
			return node{n.root, item.Value}
		}
	}
	return node{root: n.root}
}

// resolve follows a reference such as #/components/schemas/ID.
func (n node) resolve(ref string) node {
	at := node{n.root, n.root}
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.get(name)
	}
	return at
}

// members yields the members of an object, in the order of the document.
func (n node) members(yield func(name string, v node) bool) {
	m, _ := n.v.(yaml.MapSlice)
	if target, ok := n.member(m, "$ref").v.(string); ok {
		n.resolve(target).members(yield)
		return
	}
	for _, item := range m {
		if !yield(fmt.Sprint(item.Key), node{n.root, item.Value}) {
			return
		}
	}
}

func (n node) items() []node {
	list, _ := n.v.([]any)
	nodes := make([]node, len(list))
	for i, v := range list {
		nodes[i] = node{n.root, v}
	}
	return nodes
}

func (n node) texts() []string {
	var texts []string
	for _, item := range n.items() {
		texts = append(texts, fmt.Sprint(item.v))
	}
	return texts
}

// text returns a member that is one word or text, or nothing.
func (n node) text(name string) string {
	if v := n.get(name).v; v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// typeName says in words which types a schema accepts: "string or number". It
// does not mention null, which means the same as leaving the member out.
func (n node) typeName() string {
	t := n.get("type")
	if either := n.get("anyOf").items(); t.v == nil && len(either) > 0 {
		return either[0].typeName() // the others are what is let pass, not what is asked for
	}
	names := t.texts()
	if s, ok := t.v.(string); ok {
		names = []string{s}
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "null" })
	switch of := n.get("items").typeName; {
	case len(names) > 0 && names[0] == "array" && n.get("items").v != nil && of() != "":
		return "array of " + of() + "s"
	case len(names) == 0 && (n.get("enum").v != nil || n.get("const").v != nil):
		return "string" // every constant of a request in this contract is one
	}
	return strings.Join(names, " or ")
}

// json returns the value as JSON, on one line, with its members in the order of
// the document. It returns "" if the value is missing.
func (n node) json() string {
	if n.v == nil {
		return ""
	}
	var b strings.Builder
	appendJSON(&b, n.v)
	return b.String()
}

func appendJSON(b *strings.Builder, v any) {
	switch v := v.(type) {
	case yaml.MapSlice:
		b.WriteByte('{')
		for i, item := range v {
			separate(b, i)
			appendJSON(b, fmt.Sprint(item.Key))
			b.WriteString(": ")
			appendJSON(b, item.Value)
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			separate(b, i)
			appendJSON(b, item)
		}
		b.WriteByte(']')
	default:
		scalar, err := json.Marshal(v)
		if err != nil {
			panic("bug: a scalar that JSON does not know: " + err.Error())
		}
		b.Write(scalar)
	}
}

func separate(b *strings.Builder, i int) {
	if i > 0 {
		b.WriteString(", ")
	}
}
