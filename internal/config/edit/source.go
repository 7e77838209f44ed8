package edit

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// source is the text of a configuration that is known to be right, with its tree, and what is to be done to it. Places that are not
// what they should be set broken; nothing may be done with the result then.
type source struct {
	mark    []byte // of the byte order, which is no part of the text; may be empty
	text    []byte
	root    *ast.MappingNode
	splices []splice
	broken  bool
}

// splice puts text in the place of what is from there up to, not including, to.
type splice struct {
	from, to int
	text     string
}

func parse(text []byte) (*source, error) {
	s := &source{text: bytes.TrimPrefix(text, []byte("\ufeff"))}
	s.mark = text[:len(text)-len(s.text)]
	tree, err := parser.ParseBytes(s.text, 0)
	if err != nil {
		return nil, errForm
	}
	var ok bool
	if s.root, ok = tree.Docs[0].Body.(*ast.MappingNode); !ok {
		return nil, errForm
	}
	return s, nil
}

// apply returns the text with all splices made.
func (s *source) apply() ([]byte, error) {
	if s.broken {
		return nil, errForm
	}
	slices.SortStableFunc(s.splices, func(a, b splice) int { return cmp.Compare(a.from, b.from) })
	out := slices.Clone(s.mark)
	at := 0
	for _, p := range s.splices {
		if p.from < at || p.to < p.from || p.to > len(s.text) {
			return nil, errForm
		}
		out = append(append(out, s.text[at:p.from]...), p.text...)
		at = p.to
	}
	return append(out, s.text[at:]...), nil
}

func (s *source) replace(from, to int, text string) {
	s.splices = append(s.splices, splice{from, to, text})
}
func (s *source) insert(at int, text string) { s.replace(at, at, text) }

// lineBreak is what the file's lines end in.
func (s *source) lineBreak() string {
	if bytes.Contains(s.text, []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// line returns the offset at which a line, counted from 1, begins. The line after the last one begins at the end.
func (s *source) line(n int) int {
	at := 0
	for range n - 1 {
		end := bytes.IndexByte(s.text[at:], '\n')
		if end < 0 {
			return len(s.text)
		}
		at += end + 1
	}
	return at
}

// offset returns where a token begins. Columns are counted in characters.
func (s *source) offset(t *token.Token) int {
	at := s.line(t.Position.Line)
	for range t.Position.Column - 1 {
		_, n := utf8.DecodeRune(s.text[at:])
		at += n
	}
	return at
}

// indicator returns where a token of one character is, which has to be there.
func (s *source) indicator(t *token.Token, want byte) int {
	if t == nil {
		s.broken = true
		return 0
	}
	at := s.offset(t)
	if at >= len(s.text) || s.text[at] != want {
		s.broken = true
	}
	return at
}

// pair returns the member of a mapping with a key, nil if there is none.
func pair(m *ast.MappingNode, key string) *ast.MappingValueNode {
	for _, p := range m.Values {
		if p.Key.GetToken().Value == key {
			return p
		}
	}
	return nil
}

// element returns a mapping that is an element of a list under a key.
func (s *source) element(m *ast.MappingNode, key string, i int) *ast.MappingNode {
	if p := pair(m, key); p != nil {
		if list, ok := p.Value.(*ast.SequenceNode); ok && i < len(list.Values) {
			if found, ok := list.Values[i].(*ast.MappingNode); ok {
				return found
			}
		}
	}
	s.broken = true
	return &ast.MappingNode{}
}

// lastLine returns the line on which a node ends.
func lastLine(n ast.Node) int {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return lastLine(n.Values[len(n.Values)-1].Value)
		}
		if n.End != nil {
			return n.End.Position.Line
		}
	case *ast.SequenceNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return lastLine(n.Values[len(n.Values)-1])
		}
		if n.End != nil {
			return n.End.Position.Line
		}
	}
	t := n.GetToken()
	return t.Position.Line + strings.Count(strings.TrimSpace(t.Origin), "\n")
}

// insertLines puts whole lines after a line.
func (s *source) insertLines(after int, lines ...string) {
	at, end := s.line(after+1), s.lineBreak()
	text := strings.Join(lines, end) + end
	if at == len(s.text) && at > 0 && s.text[at-1] != '\n' {
		text = end + strings.TrimSuffix(text, end)
	}
	s.insert(at, text)
}

// backward returns the place after the last character before at that is no space.
func (s *source) backward(at int) int { return len(bytes.TrimRight(s.text[:at], " \t\r\n")) }

// scalarEnd returns where the scalar that begins at from ends.
func (s *source) scalarEnd(from int, flow bool) int {
	rest := s.text[from:]
	if len(rest) == 0 || strings.IndexByte("|>&*!", rest[0]) >= 0 {
		s.broken = true
		return from
	}
	if rest[0] == '"' || rest[0] == '\'' {
		return from + s.quotedEnd(rest)
	}
	stop := "\r\n"
	if flow {
		stop += ",[]{}"
	}
	end := bytes.IndexAny(rest, stop)
	if end < 0 {
		end = len(rest)
	}
	if comment := bytes.Index(rest[:end], []byte(" #")); comment >= 0 {
		end = comment
	}
	return from + len(bytes.TrimRight(rest[:end], " \t"))
}

// quotedEnd returns the length of the quoted text at the beginning of b.
func (s *source) quotedEnd(b []byte) int {
	quote := b[0]
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] == '\\' && quote == '"':
			i++
		case b[i] == quote && quote == '\'' && i+1 < len(b) && b[i+1] == quote:
			i++
		case b[i] == quote:
			return i + 1
		}
	}
	s.broken = true
	return 0
}
