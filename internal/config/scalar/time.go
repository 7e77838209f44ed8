package scalar

import (
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"trackway/internal/iso8601"
)

// Age is how long something is kept: a duration, which may be written in days.
// 0 means forever.
type Age time.Duration

const (
	day    = 24 * time.Hour
	minAge = time.Hour
	maxAge = 36500 * day

	// More than a year would not bound anything.
	maxBoundedAge = 365 * day
)

const wantAge = "must be a time from 1h to 36500d, such as 30d or 12h, or forever"

// parseAge parses a number of days (of 24 hours each), a duration, or forever.
func parseAge(s string) (a Age, want string) {
	if s == "forever" {
		return 0, ""
	}
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * day
	}
	if err != nil || d < minAge || d > maxAge {
		return 0, wantAge
	}
	return Age(d), ""
}

// BoundedAge is how long a record of calls is kept: an [Age] of at most a year.
type BoundedAge time.Duration

func parseBoundedAge(s string) (a BoundedAge, want string) {
	kept, want := parseAge(s)
	if want != "" || kept == 0 || time.Duration(kept) > maxBoundedAge {
		return 0, "must be a time from 1h to 365d, such as 7d: it bounds how long addresses are kept"
	}
	return BoundedAge(kept), ""
}

func parseDuration(s string) (d time.Duration, want string) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, "must be a duration with its unit, such as 60s or 1m30s"
	}
	return d, ""
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

// Start says where a destination begins: beginning, now, the number of a
// change, or a time.
type Start string

func setStart(dst *Start, n ast.Node) (want string) {
	text := n.GetToken().Value
	_, number := strconv.ParseUint(text, 10, 64)
	_, time := iso8601.Parse(text)
	if text != "beginning" && text != "now" && (number != nil || !decimal.MatchString(text)) && !time {
		return "must be beginning, now, the number of a change, or a time such as 2027-01-01T12:00:00Z"
	}
	*dst = Start(text)
	return ""
}
