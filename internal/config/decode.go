package config

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

	"trackway/internal/config/scalar"
)

// hidden is a text that no problem ever shows: a secret, or the token of a
// public key.
type hidden string

// read decodes src into dst, a pointer to a struct. It returns false if src
// contains no settings at all, right or wrong.
func (d *doc) read(src []byte, dst any) (ok bool) {
	src = bytes.TrimPrefix(src, []byte("\ufeff")) // the byte order mark would become part of the first key
	// mapping finds duplicate keys, and goes on after the first.
	parsed, err := parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.problems = append(d.problems, d.syntaxProblem(err))
		return false
	}
	for i, document := range parsed.Docs {
		if i > 0 || isDirective(document.Body) {
			p := d.placeOf(document.Body, "")
			p.text = ""
			d.problems = append(d.problems, p.problem("must be one YAML document, without --- between settings and without directives"))
			return false
		}
		if document.Body != nil {
			d.value(reflect.ValueOf(dst).Elem(), document.Body, "")
		}
	}
	return d.good(dst)
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
func (d *doc) syntaxProblem(err error) Problem {
	p := Problem{File: d.name, Msg: "not YAML"}
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
func (d *doc) value(v reflect.Value, n ast.Node, field string) {
	at := v.Addr().Interface()
	p := d.placeOf(n, field)
	if v.Type() == reflect.TypeFor[hidden]() {
		p.text = ""
	}
	d.places[at] = p
	if x, ok := at.(interface{ setDefaults() }); ok && field != "" {
		x.setDefaults()
	}
	switch {
	case n.Type() == ast.NullType:
		d.report(at, "has no value: leave it out, or give it one")
	case slices.Contains([]ast.NodeType{ast.AnchorType, ast.AliasType, ast.TagType}, n.Type()):
		d.report(at, "must be written out: anchors, aliases and tags are not read")
	case scalar.Is(v.Type()):
		if want := scalar.Set(at, n); want != "" {
			d.report(at, "%s", want)
		}
	case v.Type() == reflect.TypeFor[byAge]():
		d.ages(v.Addr().Interface().(*byAge), n, field)
	case v.Type() == reflect.TypeFor[renames]():
		d.renames(v.Addr().Interface().(*renames), n, field)
	case v.Kind() == reflect.Slice:
		d.sequence(v, n, field)
	default:
		d.mapping(v, n, field)
	}
}

func (d *doc) sequence(v reflect.Value, n ast.Node, field string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.report(v.Addr().Interface(), "must be a list, such as [a, b]")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))) // never grown: places are addresses
	for i, n := range seq.Values {
		d.value(v.Index(i), n, field+"["+strconv.Itoa(i)+"]")
	}
}

func (d *doc) mapping(v reflect.Value, n ast.Node, field string) {
	at := v.Addr().Interface()
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.report(at, "must hold keys and values, such as {key: value}")
		return
	}
	fields := fieldsOf(v)
	seen := make(map[string]int, len(m.Values)) // line
	for _, pair := range m.Values {
		key, p := pair.Key.GetToken().Value, pair.Key.GetToken().Position
		problem := Problem{File: d.name, Line: p.Line, Column: p.Column, Field: join(field, showKey(key))}
		i := slices.IndexFunc(fields, func(f fieldValue) bool { return f.key == key })
		switch line, again := seen[key]; {
		case i < 0 || pair.Key.Type() != ast.StringType:
			problem.Msg = "unknown key; known here: " + keysOf(fields)
		case again:
			problem.Msg = fmt.Sprintf("is given twice, first in line %d", line)
		default:
			seen[key] = p.Line
			d.pair(fields[i].value, pair, problem)
			continue
		}
		d.problems = append(d.problems, problem)
	}
}

// pair decodes the value of one key. A missing value has no place of its own,
// so its problem is reported at the key.
func (d *doc) pair(v reflect.Value, pair *ast.MappingValueNode, key Problem) {
	d.value(v, pair.Value, key.Field)
	if pair.Value.Type() == ast.NullType {
		last := &d.problems[len(d.problems)-1]
		last.Line, last.Column, last.Text = key.Line, key.Column, ""
	}
}

// placeOf returns the place of n. For a block of keys that is the first key
// (its token is the first colon).
func (d *doc) placeOf(n ast.Node, field string) place {
	p := place{file: d.name, line: 1, column: 1, field: field}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	} else if n != nil {
		p.text = scalar.Shown(n)
	}
	if n != nil {
		at := n.GetToken().Position
		p.line, p.column = at.Line, at.Column
	}
	return p
}

type fieldValue struct {
	key   string
	value reflect.Value
}

// fieldsOf returns the fields of a struct that have a key, in order, including
// those of inline structs.
func fieldsOf(v reflect.Value) []fieldValue {
	var fields []fieldValue
	for f, value := range v.Fields() {
		switch key := f.Tag.Get("yaml"); key {
		case "":
		case ",inline":
			fields = append(fields, fieldsOf(value)...)
		default:
			fields = append(fields, fieldValue{key, value})
		}
	}
	return fields
}

func keysOf(fields []fieldValue) string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return strings.Join(keys, ", ")
}

// showKey cuts an unknown key at the first character that none of our keys has:
// if a colon was forgotten ({secret abc}), the rest is the value.
func showKey(key string) string {
	if i := strings.IndexFunc(key, func(c rune) bool { return !isNameRune(c) }); i >= 0 {
		return key[:i] + "…"
	}
	return key
}

func join(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}
