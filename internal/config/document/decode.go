package document

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"trackway/internal/config/problem"
	"trackway/internal/config/scalar"
	"trackway/internal/config/setting"
)

// Hidden is a text that no problem ever shows: a secret, or the token of a
// public key.
type Hidden string

// Defaulter is a section that sets its defaults before it is read.
type Defaulter interface{ SetDefaults() }

// Decoder is a value that reads itself from a node.
type Decoder interface {
	DecodeYAML(d *Doc, n ast.Node, field string)
}

// Read decodes src into dst, a pointer to the value of a field. That is a
// struct, or may also be a list if the field has a name. Read returns false if
// src contains no settings at all, right or wrong.
func (d *Doc) Read(src []byte, dst any, field string) (ok bool) {
	src = bytes.TrimPrefix(src, []byte("\ufeff")) // the byte order mark would become part of the first key
	// mapping finds duplicate keys, and goes on after the first.
	parsed, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.Problems = append(d.Problems, d.syntaxProblem(err))
		return false
	}
	for i, document := range parsed.Docs {
		if i > 0 || isDirective(document.Body) {
			p := d.PlaceOf(document.Body, field)
			p.Text = ""
			d.Problems = append(d.Problems, p.Problem("must be one YAML document, without --- between settings and without directives"))
			return false
		}
		if document.Body != nil {
			d.value(reflect.ValueOf(dst).Elem(), document.Body, field)
		}
	}
	return d.Good(dst)
}

func isDirective(n ast.Node) bool {
	_, ok := n.(*ast.DirectiveNode)
	return ok
}

// quotation matches the parts of the parser's messages that may quote the file.
var quotation = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'`)

// unquote hides a quotation, which could be part of a secret. It keeps YAML's
// own marks.
func unquote(quotation string) string {
	switch {
	case quotation == "'\t'":
		return `'\t'` // the tab itself would be invisible
	case strings.Contains("'{' '}' '[' ']' ',' ':' '@' '`'", quotation):
		return quotation
	}
	return "(text)"
}

// syntaxProblem reports what the parser could not read. It does not show the
// line, which may hold a secret.
func (d *Doc) syntaxProblem(err error) problem.Problem {
	p := problem.Problem{File: d.Name, Msg: "not YAML"}
	var e yaml.Error
	if !errors.As(err, &e) {
		return p
	}
	p.Msg = "not YAML: " + quotation.ReplaceAllStringFunc(e.GetMessage(), unquote)
	if t := e.GetToken(); t != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return p
}

// value decodes n into v, which is addressable, and notes its place.
func (d *Doc) value(v reflect.Value, n ast.Node, field string) {
	at := v.Addr().Interface()
	p := d.PlaceOf(n, field)
	p.Node = n
	if v.Type() == reflect.TypeFor[Hidden]() {
		p.Text = ""
	}
	d.Places[at] = p
	if x, ok := at.(Defaulter); ok && field != "" {
		x.SetDefaults()
	}
	switch {
	case n.Type() == ast.NullType:
		d.Report(at, "has no value: leave it out, or give it one")
	case slices.Contains([]ast.NodeType{ast.AnchorType, ast.AliasType, ast.TagType}, n.Type()):
		d.Report(at, "must be written out: anchors, aliases and tags are not read")
	case scalar.Is(v.Type()):
		if want := scalar.Set(at, n); want != "" {
			d.Report(at, "%s", want)
		}
	case v.Addr().Type().Implements(reflect.TypeFor[Decoder]()):
		at.(Decoder).DecodeYAML(d, n, field) // it implements it
	case v.Kind() == reflect.Slice:
		d.sequence(v, n, field)
	default:
		d.mapping(v, n, field)
	}
}

func (d *Doc) sequence(v reflect.Value, n ast.Node, field string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.misplaced(v, "must be a list, such as [a, b]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))) // never grown: places are addresses
	for i, n := range seq.Values {
		d.value(v.Index(i), n, field+"["+strconv.Itoa(i)+"]")
	}
}

func (d *Doc) mapping(v reflect.Value, n ast.Node, field string) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.misplaced(v, "must hold keys and values, such as {key: value}")
		return
	}
	fields := setting.Fields(v)
	seen := make(map[string]int, len(m.Values)) // line
	for _, pair := range m.Values {
		key, p := pair.Key.GetToken().Value, pair.Key.GetToken().Position
		wrong := problem.Problem{File: d.Name, Line: p.Line, Column: p.Column, Field: setting.Join(field, showKey(key))}
		i := slices.IndexFunc(fields, func(f setting.Field) bool { return f.Key == key })
		switch line, again := seen[key]; {
		case i < 0 || pair.Key.Type() != ast.StringType:
			wrong.Msg = "unknown key; known here: " + setting.Keys(fields)
		case again:
			wrong.Msg = fmt.Sprintf("is given twice, first in line %d", line)
		default:
			seen[key] = p.Line
			d.pair(fields[i].Value, pair, wrong)
			continue
		}
		d.Problems = append(d.Problems, wrong)
	}
}

// misplaced reports a text in place of a list or a section. If a secret belongs
// into that, the text may be the secret, and is not shown.
func (d *Doc) misplaced(v reflect.Value, msg string) {
	at := v.Addr().Interface()
	if holdsHidden(v.Type()) {
		d.Conceal(at)
	}
	d.Report(at, "%s", msg)
}

// holdsHidden reports whether a value of type t, or a part of it, is hidden.
func holdsHidden(t reflect.Type) bool {
	switch {
	case t == reflect.TypeFor[Hidden]():
		return true
	case scalar.Is(t):
		return false
	case t.Kind() == reflect.Slice:
		return holdsHidden(t.Elem())
	}
	for f := range t.Fields() {
		if f.Tag.Get("yaml") != "" && holdsHidden(f.Type) {
			return true
		}
	}
	return false
}

// pair decodes the value of one key. A missing value has no place of its own,
// so its problem is reported at the key.
func (d *Doc) pair(v reflect.Value, pair *ast.MappingValueNode, key problem.Problem) {
	d.value(v, pair.Value, key.Field)
	if pair.Value.Type() == ast.NullType {
		last := &d.Problems[len(d.Problems)-1]
		last.Line, last.Column, last.Text = key.Line, key.Column, ""
	}
}

// PlaceOf returns the place of n. For a block of keys that is the first key
// (its token is the first colon).
func (d *Doc) PlaceOf(n ast.Node, field string) Place {
	p := Place{File: d.Name, Line: 1, Column: 1, Field: field}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	} else if n != nil {
		p.Text = scalar.Shown(n)
	}
	if n != nil {
		at := n.GetToken().Position
		p.Line, p.Column = at.Line, at.Column
	}
	return p
}

// showKey cuts an unknown key at the first character that none of our keys has:
// if a colon was forgotten ({secret abc}), the rest is the value.
func showKey(key string) string {
	if i := strings.IndexFunc(key, func(c rune) bool { return !scalar.IsNameRune(c) }); i >= 0 {
		return key[:i] + "…"
	}
	return key
}

// ReadText sets v, whose type [scalar.Is] reports, to a text that is not YAML.
func (d *Doc) ReadText(text string, v reflect.Value, field string) {
	d.value(v, scalar.Node(text, v.Type()), field)
}
