package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The rules of backing off. openapi/vectors/backoff.json has them as data.
const (
	firstDelay    = 500 * time.Millisecond // the ceiling of the first delay; each failure doubles it
	spread        = 0.1                    // on top of the server's delay, so that clients do not all return at once
	maxRetryAfter = time.Hour              // a longer one is not believed
	maxMoves      = 5                      // redirects in a row
)

// action says what to do with a batch after a request.
type action string

const (
	done   action = "done"   // each command has a result
	retry  action = "retry"  // send it again
	split  action = "split"  // send its two halves
	reject action = "reject" // give it up, and report it
	move   action = "move"   // send it to the server that the answer names
)

// answer is the outcome of a request.
type answer struct {
	url    string // that answered
	moves  int    // redirects on the way to it
	status int
	header http.Header
	body   []byte
	err    error // there is no complete answer
}

// decision is what to do after an answer.
type decision struct {
	action    action
	low, high time.Duration // retry: the delay is drawn from this range
	failover  bool          // retry: the server is to blame
	denied    bool          // retry: the client was not let in, and no server looked at the commands
	reason    string
	url       string   // move
	results   []result // done
}

// unclear reports whether commands of the batch have to be sent again.
func (d *decision) unclear() bool {
	return slices.ContainsFunc(d.results, func(r result) bool { return r.outcome == again })
}

// stored reports whether a command of the batch was stored.
func (d *decision) stored() bool {
	return slices.ContainsFunc(d.results, func(r result) bool { return r.outcome == delivered })
}

// rules holds the parts of the rules that options can change.
type rules struct{ maxDelay time.Duration }

// decide returns what to do with a batch. commands is the number of commands in
// it. attempt is the number of consecutive failures of the server, including
// this one if it is one. now serves as the server's time if the answer has no
// Date.
func (r rules) decide(a *answer, attempt, commands int, now time.Time) decision {
	switch {
	case a.err != nil:
		return r.retry(a, attempt, now, true, a.err.Error())
	case a.status == http.StatusOK:
		results, err := readResults(a.body, commands)
		if err != nil {
			return r.retry(a, attempt, now, true, err.Error())
		}
		return decision{action: done, results: results}
	case a.status == http.StatusTooManyRequests || a.status == http.StatusRequestTimeout:
		return r.retry(a, attempt, now, false, a.reason())
	case a.status >= 300 && a.status < 400:
		if to := a.target(); to != "" && a.moves < maxMoves {
			return decision{action: move, url: to}
		}
		return r.retry(a, attempt, now, true, "a redirect without a usable target")
	case a.status >= 400 && a.status < 500:
		switch {
		case !a.aboutCommands():
			d := r.retry(a, lastAttempt, now, true, a.reason())
			d.denied = true
			return d
		case commands > 1:
			return decision{action: split}
		}
		return decision{action: reject, reason: a.reason()}
	}
	return r.retry(a, attempt, now, true, a.reason())
}

// retry sets the range of the delay: full jitter below an exponential ceiling,
// but never less than the server asks for.
func (r rules) retry(a *answer, attempt int, now time.Time, failover bool, reason string) decision {
	low := a.retryAfter(now)
	high := time.Duration(float64(low) * (1 + spread))
	return decision{action: retry, low: low, high: max(high, r.ceiling(attempt)), failover: failover, reason: reason}
}

// lastAttempt is the attempt from which the ceiling no longer doubles: it
// exceeds every cap by then, and does not overflow yet.
const lastAttempt = 31

func (r rules) ceiling(attempt int) time.Duration {
	return min(r.maxDelay, firstDelay<<(min(max(attempt, 1), lastAttempt)-1))
}

// retryAfter returns the delay that the server asks for (RFC 9110, section
// 10.2.3), or 0 if it asks for none.
func (a *answer) retryAfter(now time.Time) time.Duration {
	text := a.header.Get("Retry-After")
	if text == "" {
		return 0
	}
	if strings.Trim(text, "0123456789") == "" {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter
		}
		return time.Duration(n) * time.Second
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return min(max(until.Sub(a.date(now)), 0), maxRetryAfter)
}

// date returns the server's time of the answer. Only differences from it count,
// so the client's clock may be wrong.
func (a *answer) date(now time.Time) time.Time {
	if date, err := http.ParseTime(a.header.Get("Date")); err == nil {
		return date
	}
	return now
}

// aboutCommands reports whether a 4xx concerns the content of the batch. Every
// other 4xx means that the client was not let in: the key was changed, the
// project is missing, or a proxy has no server behind it. This includes a 400
// with "error", which is about the project, and a 400 without a reason in the
// server's format.
func (a *answer) aboutCommands() bool {
	if a.status == http.StatusRequestEntityTooLarge {
		return true
	}
	var body struct{ Error any }
	if a.status != http.StatusBadRequest || json.Unmarshal(a.body, &body) != nil {
		return false
	}
	_, project := body.Error.(string)
	return !project && a.said() != ""
}

// target returns the target of a redirect, or an empty string.
func (a *answer) target() string {
	switch a.status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return ""
	}
	from, err := url.Parse(a.url)
	location := a.header.Get("Location")
	if err != nil || location == "" {
		return ""
	}
	to, err := from.Parse(location)
	if err != nil || serverURL(to.Scheme+"://"+to.Host, a.url) == "" {
		return ""
	}
	return to.String()
}

// reason returns the reason for a refusal: the server's words, or else the
// status.
func (a *answer) reason() string { return orElse(a.said(), fmt.Sprintf("HTTP %d", a.status)) }

// said returns the reason that a refusal gives, in any of the formats that
// refusals have, or an empty string.
func (a *answer) said() string {
	var body struct{ Message, Error, Errors any }
	if json.Unmarshal(a.body, &body) != nil {
		return ""
	}
	status, _ := body.Errors.(map[string]any)
	for _, v := range []any{body.Message, body.Error, status["description"]} {
		if text, ok := v.(string); ok && text != "" {
			return text
		}
	}
	return joined(body.Errors)
}

// joined joins the texts of a list. It returns an empty string if v is not a
// list.
func joined(v any) string {
	list, _ := v.([]any)
	var texts []string
	for _, one := range list {
		if text, ok := one.(string); ok {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, " ")
}

// outcome is the result of one command of a batch.
type outcome string

const (
	delivered outcome = "delivered"
	rejected  outcome = "rejected"
	again     outcome = "again"
)

type result struct {
	outcome outcome
	reason  string // rejected
}

// readResults reads the body of a 200. A body without a result for each command
// is incomplete, or not from a Trackway server.
func readResults(body []byte, commands int) ([]result, error) {
	var found struct{ Results []json.RawMessage }
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&found); err != nil || !json.Valid(body) {
		return nil, errAnswer
	}
	if len(found.Results) != commands {
		return nil, errAnswer
	}
	results := make([]result, commands)
	for i, raw := range found.Results {
		results[i] = readResult(raw)
	}
	return results, nil
}

var errAnswer = errors.New("the answer is incomplete, or not from a tracking server")

func readResult(raw json.RawMessage) result {
	var r struct{ Success, Errors any }
	if json.Unmarshal(raw, &r) != nil {
		return result{outcome: again}
	}
	switch r.Success {
	case true:
		return result{outcome: delivered}
	case false:
		return result{outcome: rejected, reason: orElse(joined(r.Errors), "refused without a reason")}
	}
	return result{outcome: again}
}

// draw returns a duration between low and high. random is in [0, 1).
func draw(low, high time.Duration, random float64) time.Duration {
	return low + time.Duration(math.Round(random*float64(high-low)))
}
