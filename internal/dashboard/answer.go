package dashboard

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/httpcache"
	"trackway/internal/query"
)

// patience limits how long a page waits for a search. Then the answer holds
// what was found so far.
const patience = 2 * time.Second

// seconds is a time as the pages read it: Unix seconds with decimals.
type seconds trackway.Micros

func secondsOf(t time.Time) seconds { return seconds(trackway.MicrosOf(t)) }

// MarshalJSON implements [json.Marshaler].
func (s seconds) MarshalJSON() ([]byte, error) { return trackway.Micros(s).AppendSeconds(nil), nil }

// number is a number that JavaScript would round, so it is sent as a string.
type number uint64

// MarshalJSON implements [json.Marshaler].
func (n number) MarshalJSON() ([]byte, error) {
	return append(strconv.AppendUint([]byte{'"'}, uint64(n), 10), '"'), nil
}

func newProcess() string { return rand.Text()[:8] }

// version returns a strong ETag that depends on some values which are cheap to
// get.
func (q *request) version(of ...any) string {
	return httpcache.ETag(fmt.Appendln(nil, append([]any{q.process, q.facts.made.UnixNano(), q.user.Stamp(), q.r.URL.Path, q.r.URL.RawQuery}, of...)...))
}

// unchanged answers with 304 if the caller already has this version of the
// answer. Otherwise it sets the version of the answer to come. A 304 costs the
// caller no call, so the version must be known without computing the answer.
func (q *request) unchanged(etag string) bool {
	if httpcache.Matches(q.r.Header["If-None-Match"], etag) {
		q.giveBack()
		q.notModified(etag)
		return true
	}
	q.tag(etag)
	return false
}

func (q *request) tag(etag string) {
	h := q.w.Header()
	h.Set("Etag", etag)
	h.Set("Cache-Control", "private, no-cache")
}

func (q *request) notModified(etag string) {
	q.tag(etag)
	q.w.WriteHeader(http.StatusNotModified)
}

// answer sends JSON.
func (q *request) answer(v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return q.send(body)
}

// versioned sends JSON whose version depends only on its steady part: the time
// of the answer, for example, always differs. The answer is computed before its
// version is known, so a 304 costs a call here.
func (q *request) versioned(steady, v any) error {
	text, err := json.Marshal(steady)
	if err != nil {
		return err
	}
	etag := q.version(string(text))
	if httpcache.Matches(q.r.Header["If-None-Match"], etag) {
		q.notModified(etag)
		return nil
	}
	q.tag(etag)
	return q.answer(v)
}

func (q *request) send(body []byte) error {
	h := q.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	q.w.WriteHeader(http.StatusOK)
	_, _ = q.w.Write(body) // an error means that the client has gone
	return nil
}

// withSnapshot runs do on a snapshot of the store.
func (q *request) withSnapshot(do func(query.Snapshot) error) error {
	s := q.Store.Snapshot()
	err := do(s)
	return errors.Join(err, s.Close())
}

// deadline returns a context that ends when the page should no longer wait.
func (q *request) deadline() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(q.r.Context(), patience, errSlow)
}

var errSlow = &trackway.Error{Code: trackway.Overloaded, Msg: "The server has no time for this at the moment. Try again."}

func (q *request) param(name string) string { return q.r.URL.Query().Get(name) }

func lower(token string) string { return strings.ToLower(token) }

var errNoCustomer = &trackway.Error{Code: trackway.NotFound, Field: "customer", Msg: "There is no such customer."}

func parseCustomer(text string) (trackway.Customer, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 || text[0] == '0' {
		return 0, ask.Invalid("customer", "the number of a customer")
	}
	return trackway.Customer(n), nil
}

// whole returns a parameter that must be a whole number from 1 to most.
func (q *request) whole(name string, absent, most int) (int, error) {
	if q.param(name) == "" {
		return absent, nil
	}
	return ask.Number(q.r.URL.Query(), name, absent, most)
}

// oneOf returns a parameter that must be one of some words. If it is absent, it
// returns the first of them.
func (q *request) oneOf(name string, words ...string) (string, error) {
	switch text := q.param(name); {
	case text == "":
		return words[0], nil
	case slices.Contains(words, text):
		return text, nil
	}
	return "", ask.Invalid(name, "one of "+strings.Join(words, ", "))
}
