// Package contracts is the section of the configuration that says what events
// of a type must look like.
package contracts

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/config/document"
	"trackway/internal/config/secret"
	"trackway/internal/contract"
	"trackway/internal/contract/schema"
)

// most is how many contracts a project may have, as many as the catalogue has
// types.
const most = 200

// Section is the section as it is written: a list of contracts.
type Section []Contract

// Contract is a contract as it is written.
type Contract struct {
	Type       string          `yaml:"type"`
	Action     contract.Action `yaml:"action"`
	Schema     Schema          `yaml:"schema"`
	SchemaFile string          `yaml:"schema_file"`
}

// SetDefaults implements [document.Defaulter].
func (c *Contract) SetDefaults() { c.Action = contract.Report }

// Schema is a JSON Schema that is written in YAML. It is kept as JSON.
type Schema struct {
	json []byte
	err  error
}

// DecodeYAML implements [document.Decoder].
func (s *Schema) DecodeYAML(d *document.Doc, n ast.Node, _ string) {
	if s.json, s.err = appendJSON(nil, n, 0); s.err != nil {
		d.Report(s, "must be a JSON Schema: %v", s.err)
	}
}

var errDeep = errors.New("it is nested too deeply")

// appendJSON appends a YAML value as JSON. Numbers keep their spelling if it is
// that of JSON.
func appendJSON(b []byte, n ast.Node, depth int) (_ []byte, err error) {
	if depth > canonjson.MaxDepth {
		return nil, errDeep
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		b = append(b, '{')
		for i, pair := range n.Values {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(canonjson.AppendString(b, pair.Key.GetToken().Value), ':')
			if b, err = appendJSON(b, pair.Value, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case *ast.SequenceNode:
		b = append(b, '[')
		for i, value := range n.Values {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendJSON(b, value, depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	default:
		return appendScalar(b, n)
	}
}

// appendScalar appends a YAML value that has no parts.
func appendScalar(b []byte, n ast.Node) ([]byte, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return canonjson.AppendString(b, n.Value), nil
	case *ast.LiteralNode:
		return canonjson.AppendString(b, n.Value.Value), nil
	case *ast.BoolNode:
		return strconv.AppendBool(b, n.Value), nil
	case *ast.NullNode:
		return append(b, "null"...), nil
	case *ast.IntegerNode, *ast.FloatNode:
		text := n.GetToken().Value
		scan := canonjson.Scan([]byte(text))
		if v := scan.Value(); scan.Bad() || len(v.Raw) != len(text) || v.Kind != canonjson.Number {
			return nil, errors.New("it has a number that is not one of JSON: " + text)
		}
		return append(b, text...), nil
	}
	return nil, errors.New("anchors, aliases, tags and infinite numbers are not read")
}

// Check checks the section, and returns it as the server uses it. read returns
// what a file has; a relative path starts at the configuration's folder.
func (s Section) Check(d *document.Doc, read func(path *string) (string, error)) []contract.Contract {
	if len(s) > most {
		d.Report(&s[most], "is one contract too many: a project may have %d", most)
		return nil
	}
	var out []contract.Contract
	seen := make(map[string]any)
	for i := range s {
		c := &s[i]
		switch {
		case c.Type == "" && !d.Given(&c.Type):
			d.Missing(c, "needs a type of events")
		case c.Type == "" || len(c.Type) > trackway.MaxTypeBytes:
			d.Report(&c.Type, "must be a type of events, in 1 to %d bytes", trackway.MaxTypeBytes)
		}
		document.Unique(d, seen, &c.Type)
		if !slices.Contains(contract.Actions(), c.Action) {
			d.Report(&c.Action, "must be report, refuse or quarantine")
		}
		if compiled := c.compile(d, read); compiled != nil {
			out = append(out, contract.Contract{Type: c.Type, Action: c.Action, Schema: compiled.Canonical()})
		}
	}
	return out
}

// compile returns the schema of a contract, or nil if it is wrong, or in a file
// that is not read here.
func (c *Contract) compile(d *document.Doc, read func(path *string) (string, error)) *schema.Schema {
	text, at := c.Schema.json, any(&c.Schema)
	switch inline, file := d.Given(&c.Schema), d.Given(&c.SchemaFile); {
	case inline == file:
		d.Missing(c, "needs either schema or schema_file")
		return nil
	case file:
		at = &c.SchemaFile
		content, err := read(&c.SchemaFile)
		if err != nil {
			d.Report(at, "names a file that %v", err)
			return nil
		}
		if content == secret.Unread {
			return nil
		}
		text = []byte(content)
	case c.Schema.err != nil || !d.Good(&c.Schema):
		return nil
	}
	compiled, wrong := schema.Parse(text)
	if wrong != nil {
		d.Report(at, "%s", sentence(wrong))
		return nil
	}
	return compiled
}

// sentence says what is wrong with a schema, and where.
func sentence(p *schema.Problem) string {
	if p.Pointer == "" {
		return p.Msg
	}
	return "is wrong at " + strings.ReplaceAll(p.Pointer, "\n", " ") + ": it " + p.Msg
}
