// Package scalar reads single values of the operator's configuration: those
// that YAML writes as one word, number or text. For any other value, it says
// what it expected, in words that follow the name of a setting.
package scalar

import (
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// Is reports whether values of type t are written as a single word or
// text.
func Is(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[netip.Prefix](), reflect.TypeFor[time.Time]():
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice
}

// Set sets the value at dst, whose type is one that [Is] reports, to that of n.
// If n stands for no value of that type, Set leaves dst alone and returns what
// was expected.
func Set(dst any, n ast.Node) (want string) {
	switch dst := dst.(type) {
	case *Age:
		return setText(dst, n, parseAge)
	case *BoundedAge:
		return setText(dst, n, parseBoundedAge)
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
	case *Size:
		return setSize(dst, n)
	case *Share:
		return setShare(dst, n)
	case *Space:
		return setSpace(dst, n)
	case *Start:
		return setStart(dst, n)
	}
	return setString(reflect.ValueOf(dst).Elem(), n)
}

// Node returns a text as the node of a value of type t, which must be one that
// [Is] reports. Unlike in YAML, a text needs no quotes.
func Node(text string, t reflect.Type) ast.Node {
	at := token.New(text, text, new(token.Position))
	if t.Kind() == reflect.Bool && (text == "true" || text == "false") {
		return ast.Bool(at)
	}
	return ast.String(at)
}

// setString sets v, of any type whose values are strings, to the text of n.
func setString(v reflect.Value, n ast.Node) (want string) {
	if v.Kind() != reflect.String {
		panic("bug: no configuration value can be of type " + v.Type().String())
	}
	s, ok := Text(n)
	if _, scalar := n.(ast.ScalarNode); !ok && scalar {
		return "must be text: put it in quotes"
	} else if n.Type() == ast.MappingType || n.Type() == ast.MappingValueType {
		return "must be one text: put text with a colon in quotes"
	} else if !ok {
		return "must be one text"
	}
	v.SetString(s)
	return ""
}

// setText parses n's text and stores the result in dst. Otherwise it returns
// what parse expected.
func setText[T any](dst *T, n ast.Node, parse func(string) (T, string)) (want string) {
	s, _ := Text(n) // parse refuses the empty text of other kinds of node
	v, want := parse(s)
	if want == "" {
		*dst = v
	}
	return want
}

// Text returns the text of n. It returns false if n is anything else, such as a
// number.
func Text(n ast.Node) (s string, ok bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
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

// Shown returns n in a form that may be shown. It returns an empty text
// if n is not a scalar.
func Shown(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode, *ast.LiteralNode:
		s, _ := Text(n)
		return Quoted(s)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value
	}
	return ""
}

// Quoted returns s in quotes, safe for terminals and logs. It cuts long texts.
func Quoted(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		return fmt.Sprintf("%q…", string(r[:most]))
	}
	return strconv.Quote(s)
}

// Size is a number of bytes. It may be written with a unit.
type Size uint32

var units = []struct {
	name  string
	bytes uint64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1000}, {"KB", 1000}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

func setSize(dst *Size, n ast.Node) (want string) {
	b, ok := parseBytes(n, 32)
	if !ok {
		return "must be a number of bytes, such as 16MiB or 500kB"
	}
	*dst = Size(b)
	return ""
}

// Space is a number of bytes on a disk. It may be written with a unit.
type Space uint64

func setSpace(dst *Space, n ast.Node) (want string) {
	b, ok := parseBytes(n, 63)
	if !ok {
		return "must be a number of bytes, such as 1GiB or 500MiB"
	}
	*dst = Space(b)
	return ""
}

// parseBytes reads a number of bytes that is less than 2 to the power of bits.
func parseBytes(n ast.Node, bits int) (bytes uint64, ok bool) {
	text, unit := n.GetToken().Value, uint64(1)
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.name); ok {
			text, unit = strings.TrimSpace(number), u.bytes
			break
		}
	}
	number, err := strconv.ParseUint(text, 10, bits)
	if err != nil || !decimal.MatchString(text) || number > (1<<bits-1)/unit {
		return 0, false
	}
	return number * unit, true
}

// Share is a part of a whole, from 0 to 1.
type Share float64

// share matches the numbers from 0 to 1 in the notation that everybody knows.
var share = regexp.MustCompile(`^(0|1|[01]\.[0-9]{1,9})$`)

func setShare(dst *Share, n ast.Node) (want string) {
	text := n.GetToken().Value
	f, err := strconv.ParseFloat(text, 64)
	if !share.MatchString(text) || err != nil || f > 1 {
		return "must be a number from 0 to 1, such as 0.01"
	}
	*dst = Share(f)
	return ""
}

// MaxName is the most characters of a name.
const MaxName = 64

// IsName reports whether a text may be the name of a server, a project or
// another thing of the configuration.
func IsName(s string) bool {
	return s != "" && len(s) <= MaxName && strings.IndexFunc(s, func(c rune) bool { return !IsNameRune(c) }) < 0
}

// IsHost reports whether s is a DNS name (RFC 1123 section 2.1) or an IPv4
// address.
func IsHost(s string) bool {
	const most = 253
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(c rune) bool { return c == '_' || !IsNameRune(c) }) < 0
}

// IsNameRune reports whether names may contain a character: those of servers
// and projects, and the keys of settings.
func IsNameRune(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c)
}
