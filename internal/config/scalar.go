package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"trackway/internal/iso8601"
)

// hidden is a text that no problem ever shows: a secret, or the token of a
// public key.
type hidden string

// isScalar reports whether values of type t are written as a single word or
// text.
func isScalar(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[netip.Prefix](), reflect.TypeFor[time.Time]():
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice
}

// setScalar sets v to the value of n, or returns what was expected.
func setScalar(v reflect.Value, n ast.Node) (want string) {
	switch dst := v.Addr().Interface().(type) {
	case *age:
		return setText(dst, n, parseAge)
	case *recordAge:
		return setText(dst, n, parseRecordAge)
	case *time.Duration:
		return setText(dst, n, parseDuration)
	case *netip.Prefix:
		return setText(dst, n, parsePrefix)
	case *time.Time:
		return setText(dst, n, parseDate)
	case *bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return "must be true or false"
		}
		*dst = b.Value
		return ""
	case *uint32:
		return setUint32(dst, n)
	case *size:
		return setSize(dst, n)
	case *beginAt:
		return setBeginAt(dst, n)
	}
	if v.Kind() != reflect.String {
		panic("bug: no configuration value can be of type " + v.Type().String())
	}
	s, ok := textOf(n)
	if _, scalar := n.(ast.ScalarNode); !ok && scalar {
		return "must be text: put it in quotes"
	} else if n.Type() == ast.MappingType || n.Type() == ast.MappingValueType {
		return "must be one text: what holds a colon belongs in quotes"
	} else if !ok {
		return "must be one text"
	}
	v.SetString(s)
	return ""
}

// setText parses n's text and stores the result in dst. Otherwise it returns
// what parse expected.
func setText[T any](dst *T, n ast.Node, parse func(string) (T, string)) (want string) {
	s, _ := textOf(n) // parse refuses the empty text of other kinds of node
	v, want := parse(s)
	if want == "" {
		*dst = v
	}
	return want
}

func textOf(n ast.Node) (s string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

func parseDuration(s string) (d time.Duration, want string) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, "must be a duration with its unit, such as 60s or 1m30s"
	}
	return d, ""
}

// parsePrefix parses a range of addresses. A single address is the range of
// itself.
func parsePrefix(s string) (p netip.Prefix, want string) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return p, "must be an address or a range of addresses, such as 203.0.113.7 or 203.0.113.0/24"
		}
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	switch {
	case p.Addr().Is4In6(): // mapped addresses of callers count as IPv4, so this would never match
		return p, "must be written as an IPv4 address"
	case p != p.Masked():
		return p, "has bits set beyond its length: write " + p.Masked().String()
	}
	return p, ""
}

// parseDate parses a day, which means its first moment in UTC, or a time, as
// package iso8601 does.
func parseDate(s string) (t time.Time, want string) {
	at, ok := iso8601.Parse(s)
	if !ok {
		return t, "must be a day or a time, such as 2027-01-01 or 2027-01-01T12:00:00Z"
	}
	return at.Time(), ""
}

// decimal matches whole numbers that have only one reading: some readers of
// YAML take 010 for eight.
var decimal = regexp.MustCompile(`^[+-]?(0|[1-9][0-9]*)$`)

func setUint32(dst *uint32, n ast.Node) (want string) {
	const expected = "must be a whole number from 0 to 4294967295"
	t := n.GetToken()
	// The parser takes numbers beyond 64 bits for text, so this looks at the
	// token instead of the node.
	if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType || !decimal.MatchString(t.Value) {
		return expected
	}
	u, err := strconv.ParseUint(t.Value, 10, 32)
	if err != nil {
		return expected
	}
	*dst = uint32(u)
	return ""
}

// shownScalar returns n in a form that may be shown. It returns an empty text
// if n is not a scalar.
func shownScalar(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		s, _ := textOf(n)
		return quoted(s)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value
	}
	return ""
}

// quoted returns s in quotes, safe for terminals and logs. It cuts long texts.
func quoted(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return fmt.Sprintf("%q…", string(r[:most]))
	}
	return strconv.Quote(s)
}
