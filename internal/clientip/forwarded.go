package clientip

import "strings"

// lastForwarded cuts the last element off a Forwarded header (RFC 7239 section 4) and returns the value of its "for"
// parameter, unquoted; "" (which is no address) if there is none or the element is malformed.
//
// Elements are found from the right, because only the right end was written by somebody trusted: a caller who sends an
// opening quotation mark that is never closed would, read from the left, swallow what the proxies added.
func lastForwarded(line string) (entry, rest string, more bool) {
	cut := lastComma(line)
	if cut < 0 {
		return forParameter(line), "", false
	}
	return forParameter(line[cut+1:]), line[:cut], true
}

// lastComma returns where the last comma outside of quotation marks stands, or -1.
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

// escaped tells whether an odd number of backslashes stands before i.
func escaped(s string, i int) bool {
	n := 0
	for i--; i >= 0 && s[i] == '\\'; i-- {
		n++
	}
	return n%2 == 1
}

// forParameter reads an element from the left: name=value pairs, separated by semicolons.
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

// pairValue takes a token or a quoted string off the front of s.
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

// unescape undoes quoted-pairs (RFC 9110 section 5.6.4). No address needs one, so the usual case is to return s.
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

// HeaderValue returns an IPv4 address as a header of the given name, in any case, says it of a caller. It is for those who play a proxy.
func HeaderValue(header, address string) string {
	if strings.EqualFold(header, Forwarded) {
		return "for=" + address
	}
	return address
}
