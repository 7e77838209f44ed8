package clientip

import (
	"net/netip"
	"strings"
)

// parse parses one entry: an address with an optional port, in brackets if it
// is IPv6 with a port, and optional blanks around it. It drops zones and ports,
// and turns mapped addresses into IPv4. It refuses names, 010.1.2.3 (which some
// read as octal), and the unspecified addresses: a proxy that knows no address
// writes these, and unrelated callers would share them as a limiter's key.
func parse(s string) (netip.Addr, bool) {
	s = trim(s)
	if a, end := prefix4(s); end == len(s) || (end > 0 && s[end] == ':' && isPort(s[end+1:])) {
		return netip.AddrFrom4(a), a != [4]byte{}
	}
	host, ok := splitPort(s)
	if !ok {
		return netip.Addr{}, false
	}
	if i := strings.IndexByte(host, '%'); i >= 0 && strings.IndexByte(host[:i], ':') >= 0 {
		host = host[:i] // before parsing: netip would intern the zone, which the caller chooses
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.IsUnspecified() {
		return netip.Addr{}, false
	}
	addr = addr.Unmap()
	return addr, !addr.IsUnspecified()
}

// prefix4 parses four decimal numbers at the front of s and returns where they
// end, or 0 if they are not there. It handles the usual case in one pass, in
// half the time of finding the port and [netip.ParseAddr]. FuzzParse compares
// the two.
func prefix4(s string) (a [4]byte, end int) {
	i := 0
	for field := range 4 {
		if field > 0 {
			if i >= len(s) || s[i] != '.' {
				return a, 0
			}
			i++
		}
		n, start := 0, i
		for ; i < len(s) && s[i]-'0' < 10 && i-start < 4; i++ {
			n = 10*n + int(s[i]-'0')
		}
		if i == start || n > 255 || (s[start] == '0' && i-start > 1) {
			return a, 0
		}
		a[field] = byte(n)
	}
	return a, i
}

// trim removes blanks (OWS of RFC 9110 section 5.6.3). [strings.Trim] would
// take as long as parsing the address.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// splitPort removes brackets and port.
func splitPort(s string) (host string, ok bool) {
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 || strings.IndexByte(s[:end], ':') < 0 {
			return "", false
		}
		return s[1:end], end+1 == len(s) || (s[end+1] == ':' && isPort(s[end+2:]))
	}
	i := strings.IndexByte(s, ':')
	if i < 0 || strings.IndexByte(s[i+1:], ':') >= 0 {
		return s, true // no colon: no port; several colons: IPv6 without a port
	}
	return s[:i], isPort(s[i+1:])
}

// isPort accepts a number of at most five digits, or a name (_abc): RFC 7239
// section 6.3.
func isPort(s string) bool {
	if len(s) > 1 && s[0] == '_' {
		return len(s) <= 64 && strings.IndexFunc(s, func(r rune) bool { return !nameChar(r) }) < 0
	}
	if s == "" || len(s) > 5 {
		return false
	}
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n < 1<<16
}

func nameChar(r rune) bool {
	return r == '.' || r == '_' || r == '-' || (r >= '0' && r <= '9') || (r|0x20 >= 'a' && r|0x20 <= 'z')
}
