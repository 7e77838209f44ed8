package schema

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// formats are the formats of texts. Draft 2020-12 leaves it to the server
// whether they are checked: they are.
var formats = map[string]struct {
	what string
	is   func(string) bool
}{
	"date-time": {"a time such as 2026-11-29T20:00:00Z", isTime},
	"date":      {"a date such as 2026-11-29", isDate},
	"email":     {"an e-mail address", isEmail},
	"uuid":      {"a UUID", isUUID},
	"uri":       {"a URL with a scheme", isURI},
	"ipv4":      {"an IPv4 address", func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is4() }},
	"ipv6":      {"an IPv6 address", func(s string) bool { a, err := netip.ParseAddr(s); return err == nil && a.Is6() && a.Zone() == "" }},
}

func formatNames() []string { return slices.Sorted(maps.Keys(formats)) }

// mostFormed is the longest text that can have a format.
const mostFormed = 2048

func isTime(s string) bool {
	const hour, zone = len("2006-01-02T15"), len("+00:00")
	if len(s) < len("2006-01-02T15:04:05Z") || len(s) > mostFormed {
		return false
	}
	// Package time also takes an hour of one digit, a comma, and an offset of
	// 24 hours or 60 minutes. RFC 3339 does not.
	if s[hour] != ':' || strings.Contains(s, ",") {
		return false
	}
	if end := s[len(s)-zone:]; (end[0] == '+' || end[0] == '-') && (end[1:3] == "24" || end[4:] == "60") {
		return false
	}
	_, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	return err == nil
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return len(s) == len(time.DateOnly) && err == nil
}

// isEmail reports whether a text looks like an address: text without spaces on
// both sides of one @, at most 254 bytes.
func isEmail(s string) bool {
	const most = 254
	local, domain, _ := strings.Cut(s, "@")
	return len(s) <= most && local != "" && domain != "" && !strings.ContainsAny(domain, "@") && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func isUUID(s string) bool {
	const length = 36
	if len(s) != length {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f'):
			return false
		}
	}
	return true
}

// noURI are the characters that no URI has, although [url.Parse] takes them.
const noURI = " <>\"{}|\\^`"

// plain are the characters of a URI that need no closer look, by their code.
var plain = func() (is [256]bool) {
	for c := '!'; c <= '~'; c++ {
		is[c] = c != '%' && !strings.ContainsRune(noURI, c)
	}
	return is
}()

// isPlainURL reports whether a text is a usual URL of a page. It is quick, and
// says no to some URLs.
func isPlainURL(s string) bool {
	rest, found := strings.CutPrefix(s, "https://")
	if !found {
		if rest, found = strings.CutPrefix(s, "http://"); !found {
			return false
		}
	}
	host := 0
	for host < len(rest) && (rest[host]|0x20 >= 'a' && rest[host]|0x20 <= 'z' || rest[host] >= '0' && rest[host] <= '9' || rest[host] == '.' || rest[host] == '-') {
		host++
	}
	if host == 0 || host < len(rest) && rest[host] != '/' && rest[host] != '?' && rest[host] != '#' {
		return false
	}
	for i := host; i < len(rest); i++ {
		if !plain[rest[i]] {
			return false
		}
	}
	return true
}

func isURI(s string) bool {
	if len(s) > mostFormed {
		return false
	}
	return isPlainURL(s) || isURIAtAll(s)
}

func isURIAtAll(s string) bool {
	if strings.ContainsAny(s, noURI) {
		return false
	}
	u, err := url.Parse(s)
	return err == nil && u.Scheme != ""
}
