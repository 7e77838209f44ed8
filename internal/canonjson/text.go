package canonjson

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// text returns the content of a valid string, without its quotes. It does not
// copy a plain string, which has no escapes.
func text(raw []byte, plain bool) string {
	if plain {
		return unsafe.String(unsafe.SliceData(raw), len(raw)) //nolint:gosec // G103: a body is not changed as long as its parts are used
	}
	return text(appendUnescaped(make([]byte, 0, len(raw)), raw), true)
}

// appendUnescaped appends the unescaped content of a valid string.
func appendUnescaped(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		r, n := escapedRune(raw[i:])
		dst, raw = utf8.AppendRune(dst, r), raw[i+n:]
	}
}

// appendCanonicalString appends the content of a valid string as [AppendString]
// would write it, with quotes.
func appendCanonicalString(dst, raw []byte) []byte {
	dst = append(dst, '"')
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(append(dst, raw...), '"')
		}
		dst = append(dst, raw[:i]...)
		r, n := escapedRune(raw[i:])
		dst, raw = appendRune(dst, r), raw[i+n:]
	}
}

// AppendString appends s as a JSON string with as few escapes as possible:
// quotation mark, backslash and control characters. It uses the short form if
// there is one, else \u00xx in lower case (RFC 8785, section 3.2.2.2). Bytes
// that are not UTF-8 become U+FFFD, so the result is always valid.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	b := unsafe.Slice(unsafe.StringData(s), len(s)) //nolint:gosec // G103: it is only read
	for start := 0; ; {
		i := plainEnd(b, start)
		dst = append(dst, b[start:i]...)
		if i == len(b) {
			return append(dst, '"')
		}
		r, n := utf8.DecodeRune(b[i:])
		dst = appendRune(dst, r)
		start = i + n
	}
}

// appendRune appends one character of a string, escaped if it must be.
func appendRune(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	if r < ' ' {
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xF])
	}
	return utf8.AppendRune(dst, r)
}

// escapedRune returns the character that the escape at the beginning of b
// represents, and the length of the escape, or 0 if it is not valid. A pair of
// surrogates is one escape. b has at least two bytes.
//
// Half a pair becomes U+FFFD, as browsers write it in UTF-8. A text that a page
// has cut in the middle of an emoji is JSON (RFC 8259, section 8.2), and
// refusing it would refuse everything that came with it.
func escapedRune(b []byte) (r rune, n int) {
	switch b[1] {
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	high, ok := codeUnit(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(high) {
		return high, 6
	}
	low, ok := codeUnit(b[6:])
	if pair := utf16.DecodeRune(high, low); ok && pair != utf8.RuneError {
		return pair, 12
	}
	return utf8.RuneError, 6
}

// codeUnit returns the UTF-16 code unit of the \uXXXX at the beginning of b.
func codeUnit(b []byte) (unit rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

// hasHalfPair reports whether a valid string contains an escape of half a
// surrogate pair.
func hasHalfPair(raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return false
		}
		r, n := escapedRune(raw[i:])
		if r == utf8.RuneError {
			if unit, _ := codeUnit(raw[i:]); utf16.IsSurrogate(unit) {
				return true
			}
		}
		raw = raw[i+n:]
	}
}
