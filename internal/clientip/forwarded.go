package clientip

import "strings"

// lastForwarded cuts the last element off a Forwarded header (RFC 7239 section
// 4) and returns the unquoted value of its "for" parameter. It returns "",
// which is not an address, if there is no such parameter or the element is
// malformed.
//
// It looks for elements from the right, because only the right end was written
// by somebody trusted. Read from the left, an opening quotation mark that the
// caller never closes would swallow what the proxies added.
func lastForwarded(line string) (entry, rest string, more bool) {
	cut := lastComma(line)
	if cut < 0 {
		return forParameter(line), "", false
	}
	return forParameter(line[cut+1:]), line[:cut], true
}

// lastComma returns the index of the last comma outside of quotation marks, or
// -1.
func lastComma(s string) int {
	quoted := false
	for i := len(s) - 1; i >= 0; i-- {
		switch {
		case s[i] == '"' && !(quoted && escaped(s, i)):
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return i
		}
	}
	return -1
}

// escaped reports whether an odd number of backslashes precedes i.
func escaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// forParameter parses an element from the left: name=value pairs, separated by
// semicolons.
func forParameter(s string) string {
	found, seen := "", false
	for {
		name, after, ok := strings.Cut(s, "=")
		if !ok {
			return ""
		}
		value, rest, ok := pairValue(after)
		if !ok {
			return ""
		}
		if strings.EqualFold(trim(name), "for") {
			if seen {
				return "" // "each parameter MUST NOT occur more than once"
			}
			found, seen = value, true
		}
		rest = trim(rest)
		if rest == "" {
			return found
		}
		if rest[0] != ';' {
			return ""
		}
		s = rest[1:]
	}
}

// pairValue cuts a token or a quoted string off the front of s.
func pairValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexByte(s, ';')
		if end < 0 {
			end = len(s)
		}
		value = trim(s[:end])
		return value, s[end:], strings.IndexByte(value, '"') < 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return unescape(s[1:i]), s[i+1:], true
		}
	}
	return "", "", false
}

// unescape removes the backslashes of quoted-pairs (RFC 9110 section 5.6.4). No
// address needs one, so it usually returns s.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// HeaderValue formats an IPv4 address for a header of the given name, in any
// letter case. It is for code that plays the part of a proxy.
func HeaderValue(header, address string) string {
	if strings.EqualFold(header, Forwarded) {
		return "for=" + address
	}
	return address
}
