package client

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The rules of pacing. openapi/vectors/pacing.json has them as data.
const (
	free       = 0.5                     // share of the limit that is used without delay
	late       = 0.1                     // on top of a delay, so that clients do not all come at once
	sameWindow = 1500 * time.Millisecond // reports this close are about the same window's end: they are whole seconds
	learning   = 0.25                    // weight of a new sample of the cost
)

// budget is what is left under one limit, according to an answer.
type budget struct {
	policy    string
	quota     float64 // NaN: unknown
	remaining float64
	reset     float64 // seconds until the window ends, at most maxRetryAfter
	window    float64 // seconds, at most maxRetryAfter; NaN: unknown
}

// delay returns the range that the wait for the next request is drawn from.
// cost is how many calls all clients that share the limit make for each call of
// this client.
func (b budget) delay(cost float64) (low, high time.Duration) {
	if b.reset == 0 || b.remaining > b.quota*free { // false if the quota is unknown
		return 0, 0
	}
	usable := b.remaining - (cost - 1)
	if usable < cost {
		window := b.window
		if math.IsNaN(window) {
			window = b.reset
		}
		return asDuration(b.reset), asDuration(b.reset + late*window)
	}
	wait := b.reset * cost / usable
	return asDuration(wait), asDuration(wait * (1 + late))
}

func asDuration(seconds float64) time.Duration {
	return time.Duration(math.Round(seconds * float64(time.Second)))
}

// believable caps a time that a server names, in seconds.
func believable(seconds float64) float64 { return min(max(seconds, 0), maxRetryAfter.Seconds()) }

// pacer spreads a client's calls of one server over the limit's window. The
// zero value knows nothing and delays nothing.
type pacer struct {
	cost    float64 // calls of all clients for each of ours; 0: unknown, counts as 1
	sampled bool
	calls   int // ours, since last
	last    budget
	ends    time.Time // of last's window
	until   time.Time // nothing is sent before
}

// hold stops all requests until a time.
func (p *pacer) hold(until time.Time) {
	if until.After(p.until) {
		p.until = until
	}
}

// answered learns from the header of an answer that came now.
func (p *pacer) answered(h http.Header, now time.Time, random float64) {
	b, ok := governing(readBudgets(h, now), max(p.cost, 1))
	if !ok {
		return
	}
	p.learn(b, now)
	low, high := b.delay(max(p.cost, 1))
	p.hold(now.Add(draw(low, high, random)))
}

// learn estimates how many calls others make for each of ours. It compares how
// far the remainder has fallen with the number of our own calls.
func (p *pacer) learn(b budget, now time.Time) {
	ends := now.Add(asDuration(b.reset))
	if p.calls > 0 && !p.ends.IsZero() && b.policy == p.last.policy && b.remaining < p.last.remaining &&
		ends.Sub(p.ends).Abs() <= sameWindow {
		sample := max(1, (p.last.remaining-b.remaining)/float64(p.calls))
		if p.sampled {
			sample = p.cost + (sample-p.cost)*learning
		}
		p.cost, p.sampled = sample, true
	}
	p.last, p.ends, p.calls = b, ends, 0
}

// governing returns the budget that requires the longest delay.
func governing(budgets []budget, cost float64) (longest budget, ok bool) {
	var most time.Duration
	for _, b := range budgets {
		if low, _ := b.delay(cost); !ok || low > most {
			longest, most, ok = b, low, true
		}
	}
	return longest, ok
}

// readBudgets reads the limits in the header of an answer. It returns nil if
// there are no limits in it.
func readBudgets(h http.Header, now time.Time) []budget {
	if budgets := readRateLimit(h); len(budgets) > 0 {
		return budgets
	}
	remaining, err := natural(h.Get("X-RateLimit-Remaining"))
	at, err2 := natural(h.Get("X-RateLimit-Reset"))
	if err != nil || err2 != nil {
		return nil
	}
	b := budget{quota: math.NaN(), remaining: remaining, window: math.NaN()}
	if quota, err := natural(h.Get("X-RateLimit-Limit")); err == nil {
		b.quota = quota
	}
	a := answer{header: h}
	b.reset = believable(at - float64(a.date(now).UnixMicro())/1e6)
	return []budget{b}
}

// readRateLimit reads RateLimit and RateLimit-Policy
// (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4).
func readRateLimit(h http.Header) []budget {
	states, err := readItems(h["Ratelimit"])
	if err != nil {
		return nil
	}
	policies, _ := readItems(h["Ratelimit-Policy"]) // the quota is unknown without it
	budgets := make([]budget, 0, len(states))
	for _, s := range states {
		r, hasR := s.params["r"]
		t, hasT := s.params["t"]
		if !hasR || !hasT {
			return nil
		}
		b := budget{policy: s.name, quota: math.NaN(), remaining: r, reset: believable(t), window: math.NaN()}
		for _, p := range policies {
			if q, ok := p.params["q"]; ok && p.name == s.name {
				b.quota = q
			}
			if w, ok := p.params["w"]; ok && p.name == s.name {
				b.window = believable(w)
			}
		}
		budgets = append(budgets, b)
	}
	return budgets
}

// item is a member of a list of strings with parameters (RFC 9651, sections 3.1
// and 3.1.2). Only numeric parameters are kept.
type item struct {
	name   string
	params map[string]float64
}

var errItem = errors.New("not a list of strings with parameters")

func readItems(lines []string) ([]item, error) {
	var items []item
	rest := strings.TrimSpace(strings.Join(lines, ", "))
	for rest != "" {
		name, after, ok := quoted(rest)
		if !ok {
			return nil, errItem
		}
		end := outside(after, ',')
		items = append(items, item{name, readParams(after[:end])})
		rest = strings.TrimSpace(strings.TrimPrefix(after[end:], ","))
	}
	return items, nil
}

func readParams(text string) map[string]float64 {
	params := map[string]float64{}
	for text = strings.TrimSpace(text); strings.HasPrefix(text, ";"); text = strings.TrimSpace(text) {
		text = text[1:]
		end := outside(text, ';')
		if key, value, ok := strings.Cut(text[:end], "="); ok {
			if n, err := natural(strings.TrimSpace(value)); err == nil {
				params[strings.TrimSpace(key)] = n
			}
		}
		text = text[end:]
	}
	return params
}

// quoted cuts a quoted string off the beginning of a text.
func quoted(text string) (inner, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", false
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// outside returns the index of a byte outside of quotes. If the byte does not
// occur there, it returns the length of the text.
func outside(text string, c byte) int {
	in := false
	for i := 0; i < len(text); i++ {
		switch {
		case in && text[i] == '\\':
			i++
		case text[i] == '"':
			in = !in
		case text[i] == c && !in:
			return i
		}
	}
	return len(text)
}

// natural parses a number of up to 15 digits.
func natural(text string) (float64, error) {
	const digits = 15
	if text == "" || len(text) > digits || strings.Trim(text, "0123456789") != "" {
		return 0, errItem
	}
	return strconv.ParseFloat(text, 64)
}
