package mirror

import (
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"trackway/internal/destination/outbound"
)

// maxPause is the longest pause between two requests. If the window of a limit
// is longer, the other side answers 429, and the engine waits.
const maxPause = time.Minute

// Items of the fields RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10): "name";r=50;t=30 and "name";q=100.
var (
	item      = regexp.MustCompile(`"([^"]*)"((?:\s*;\s*[a-z]+=[0-9]{1,9})*)`)
	parameter = regexp.MustCompile(`([a-z]+)=([0-9]+)`)
)

// pause returns how long to wait before the next request, so that the limit of
// the other side does not stop it. While more than half of a window's calls are
// left, it does not wait. After that, it spreads the remaining calls evenly
// over the rest of the window. The pacing of package client does the same, but
// also estimates the calls of other clients.
func pause(a *outbound.Answer, now time.Time) time.Duration {
	var longest float64
	note := func(quota, remaining, reset float64) {
		switch {
		case remaining > quota/2:
		case remaining < 1:
			longest = max(longest, reset)
		default:
			longest = max(longest, reset/remaining)
		}
	}
	policies := items(a.Header.Values("Ratelimit-Policy"))
	for name, state := range items(a.Header.Values("Ratelimit")) {
		remaining, ok := state["r"]
		reset, ok2 := state["t"]
		if !ok || !ok2 {
			continue
		}
		quota, ok := policies[name]["q"]
		if !ok {
			quota = math.Inf(1)
		}
		note(quota, remaining, reset)
	}
	remaining, err := natural(a.Header, "X-Ratelimit-Remaining")
	end, err2 := natural(a.Header, "X-Ratelimit-Reset")
	if err == nil && err2 == nil && len(a.Header.Values("Ratelimit")) == 0 {
		quota, err := natural(a.Header, "X-Ratelimit-Limit")
		if err != nil {
			quota = math.Inf(1)
		}
		if date, err := http.ParseTime(a.Header.Get("Date")); err == nil {
			now = date // only differences count, so our clock may be wrong
		}
		note(quota, remaining, max(end-float64(now.Unix()), 0))
	}
	return min(time.Duration(longest*float64(time.Second)), maxPause)
}

func items(lines []string) map[string]map[string]float64 {
	found := map[string]map[string]float64{}
	for _, m := range item.FindAllStringSubmatch(strings.Join(lines, ", "), -1) {
		parameters := map[string]float64{}
		for _, p := range parameter.FindAllStringSubmatch(m[2], -1) {
			parameters[p[1]], _ = strconv.ParseFloat(p[2], 64) // it is a number
		}
		found[m[1]] = parameters
	}
	return found
}

func natural(h http.Header, name string) (float64, error) {
	n, err := strconv.ParseUint(h.Get(name), 10, 48)
	return float64(n), err
}
