package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/guide"
	"trackway/internal/query"
)

const (
	queryTime  = 5 * time.Second // that a question may take
	maxReaders = 16              // questions at once: an answer may have some 8 MB
	maxSkipped = 10_000          // rows up to which pages have numbers
)

// What is private may be kept by the caller, and by no cache on the way.
var (
	privateCache = []string{"private, no-cache"}                    // ask each time
	lastingCache = []string{"private, max-age=31536000, immutable"} // it will never be another
	closeAfter   = time.Hour                                        // when the numbers of a time that has passed are final: longer than any request takes
	errTooSlow   = errors.New("the question took too long")         // the cause of a deadline
	errNoReader  = &trackway.Error{Code: trackway.Overloaded, Msg: "Too many questions are being answered at the moment: try again."}
	errNoAnswer  = &trackway.Error{
		Code: trackway.Overloaded, Msg: "The answer was not found in time: ask about a shorter time, or for fewer types.",
	}
)

// parameters returns the parameters of the query, refusing what the route does not know.
func (c *call) parameters(known ...string) (url.Values, error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return nil, invalid("query", "a well-formed query in the URL")
	}
	for name, all := range values {
		if !slices.Contains(known, name) {
			return nil, invalid(shortened(name), "nothing: the parameters are "+strings.Join(known, ", "))
		}
		if len(all) > 1 && name != "type" {
			return nil, invalid(name, "one value")
		}
	}
	return values, nil
}

// shortened returns a name that somebody made up as an error may show it.
func shortened(name string) string {
	const enough = 40
	if len(name) > enough {
		return strings.ToValidUTF8(name[:enough], "") + "…"
	}
	return strings.ToValidUTF8(name, "")
}

// instant returns a parameter that is a point in time: Unix seconds, or ISO 8601; absent where it is not there.
func instant(values url.Values, name string, absent trackway.Micros) (trackway.Micros, error) {
	text := values.Get(name)
	if !values.Has(name) {
		return absent, nil
	}
	if m, ok := parseInstant(text); ok && m >= trackway.MinTime && m <= trackway.MaxTime {
		return m, nil
	}
	return 0, invalid(name, "Unix seconds or ISO 8601, such as 1795305600, 2026-11-22 or 2026-11-22T00:00:00Z, from 1970 to 2200")
}

func parseInstant(text string) (trackway.Micros, bool) {
	if whole, frac, _ := strings.Cut(text, "."); isDigits(whole) && (frac == "" || isDigits(frac)) && len(frac) <= 6 {
		seconds, err := strconv.ParseInt(whole, 10, 40)
		micros, _ := strconv.ParseInt((frac + "000000")[:6], 10, 64) // digits
		return trackway.Micros(seconds*1e6 + micros), err == nil && !strings.HasSuffix(text, ".")
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		// A plus sign in a query that was not escaped is a space.
		if at, err := time.Parse(layout, strings.Replace(text, " ", "+", 1)); err == nil {
			return trackway.MicrosOf(at), true
		}
	}
	return 0, false
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// choice returns a parameter that is one of several words; the first where it is not there.
func choice(values url.Values, name string, words ...string) (string, error) {
	if !values.Has(name) {
		return words[0], nil
	}
	if word := values.Get(name); slices.Contains(words, word) {
		return word, nil
	}
	return "", invalid(name, strings.Join(words, " or "))
}

// versionTag is the entity tag of what the project's data, as they are now, give for this URL. It costs no look at the data.
// Another process may count the same versions for other data, so it is a part of it.
func (c *call) versionTag() string {
	b := binary.BigEndian.AppendUint64(append([]byte(nil), c.process...), c.Store.Version(c.grant.Project.Number))
	return guide.ETag(append(b, c.r.URL.RequestURI()...))
}

// has answers 304 and returns true where the caller has what the tag names.
func (c *call) has(etag string, cache []string) bool {
	if !matches(c.r.Header["If-None-Match"], etag) {
		return false
	}
	h := c.w.Header()
	h["Etag"], h["Cache-Control"] = []string{etag}, cache
	c.giveBack()
	c.status = http.StatusNotModified
	c.w.WriteHeader(c.status)
	return true
}

// answerTagged answers with what a tag names; without one the answer is not to be kept, for the next may come further.
func (c *call) answerTagged(etag string, cache []string, body []byte) error {
	h := c.w.Header()
	h["Cache-Control"] = []string{"no-store"}
	if etag != "" {
		h["Etag"], h["Cache-Control"] = []string{etag}, cache
	}
	return c.answer(http.StatusOK, body)
}

// answerFinal answers with numbers of a time that has passed: they are named by what they are, so that the name holds over
// restarts. The last change was when that time ended, at the latest.
func (c *call) answerFinal(until time.Time, body []byte) error {
	etag := guide.ETag(body)
	c.w.Header()["Last-Modified"] = []string{until.UTC().Format(http.TimeFormat)}
	if c.has(etag, lastingCache) {
		return nil
	}
	return c.answerTagged(etag, lastingCache, body)
}

// final tells whether the numbers of a time that ended at until cannot change any more.
func (c *call) final(until time.Time) bool { return !until.Add(closeAfter).After(c.received) }

// question runs do on a snapshot, with a deadline, and with few others at once.
func (c *call) question(do func(context.Context, query.Snapshot) error) error {
	ctx, cancel := context.WithTimeoutCause(c.r.Context(), c.patience, errTooSlow)
	defer cancel()
	if !c.enter(ctx) {
		return errNoReader
	}
	defer func() { <-c.readers }()
	err := c.withSnapshot(func(s query.Snapshot) error { return do(ctx, s) })
	if errors.Is(err, errTooSlow) {
		return errNoAnswer
	}
	return err
}

// enter waits for one of the places of those who are answered.
func (c *call) enter(ctx context.Context) bool {
	select {
	case c.readers <- struct{}{}:
		return true
	default:
	}
	select {
	case c.readers <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// list is what lists are asked for: which page, of how many rows, in which order.
type list struct {
	page   int // 0: by cursor
	rows   int
	newest bool
	cursor string
}

var listParameters = []string{"page", "rows", "order", "cursor"}

func (c *call) list(values url.Values) (l list, err error) {
	if l.rows, err = c.number("rows", usualRows, maxRows); err != nil {
		return l, err
	}
	if l.page, err = c.number("page", 1, maxSkipped); err != nil {
		return l, err
	}
	order, err := choice(values, "order", "newest", "oldest")
	if err != nil {
		return l, err
	}
	l.newest = order == "newest"
	switch {
	case values.Has("cursor") && values.Has("page"):
		return l, invalid("page", "nothing where there is a cursor")
	case values.Has("cursor"):
		l.page, l.cursor = 0, values.Get("cursor")
	case l.page*l.rows > maxSkipped:
		return l, invalid("page", fmt.Sprintf("at most %d with this many rows; farther on by 'cursor', which is the 'next' of an answer", maxSkipped/l.rows))
	}
	return l, nil
}

func (l list) skip() int { return max(l.page-1, 0) * l.rows }

// reached returns an error where the deadline came before the page did.
func (l list) reached(complete bool, found int) error {
	if complete || found > 0 || l.page < 2 {
		return nil
	}
	return invalid("page", "a page that can be reached in time; go on by 'cursor', which is the 'next' of an answer")
}

// appendEnvelope appends the beginning of a list's answer up to its rows. records below 0 are not known.
func (l list) appendEnvelope(b []byte, records int64) []byte {
	number := func(name string, n int64, known bool) {
		b = append(b, name...)
		if b = append(b, "null"...); known {
			b = strconv.AppendInt(b[:len(b)-len("null")], n, 10)
		}
	}
	per := int64(l.rows)
	number(`{"page":`, int64(l.page), l.page > 0)
	number(`,"total":`, (records+per-1)/per, records >= 0)
	number(`,"rowsperpage":`, per, true)
	number(`,"records":`, records, records >= 0)
	return append(b, `,"rows":[`...)
}

// appendEnd appends the end of a list's answer.
func appendEnd(b []byte, next string, complete bool) []byte {
	b = append(b, `],"next":`...)
	if next == "" {
		b = append(b, "null"...)
	} else {
		b = append(append(append(b, '"'), next...), '"')
	}
	b = strconv.AppendBool(append(b, `,"complete":`...), complete)
	return append(b, '}')
}
