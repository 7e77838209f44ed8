// Package listing answers questions about the audit log in JSON, for the API
// and for the server's pages.
package listing

import (
	"encoding/json"
	"strings"
	"time"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/audit"
)

// The entries on a page.
const (
	usualRows = 50
	mostRows  = 1000
)

// mostNumber is the highest number that every reader of JSON keeps.
const mostNumber = 1<<53 - 1

// Question reads a question from the query of a URL.
func Question(rawQuery string) (*audit.Query, error) {
	values, err := ask.Parse(rawQuery, "since", "until", "action", "actor", "before", "rows")
	if err != nil {
		return nil, err
	}
	q := &audit.Query{Actor: values.Get("actor")}
	since, until, err := ask.Span(values)
	if err != nil {
		return nil, err
	}
	q.Since = timeOf(since)
	q.Until = timeOf(until)
	if text := values.Get("action"); text != "" {
		q.Actions = strings.Split(text, ",")
	}
	before, err := ask.Number(values, "before", 0, mostNumber)
	if err != nil {
		return nil, err
	}
	q.Before = uint64(before)
	q.Limit, err = ask.Number(values, "rows", usualRows, mostRows)
	return q, err
}

func timeOf(m trackway.Micros) time.Time {
	if m == 0 {
		return time.Time{}
	}
	return m.Time()
}

// Answer answers the question in the query of a URL.
func Answer(log *audit.Log, rawQuery string) ([]byte, error) {
	q, err := Question(rawQuery)
	if err != nil {
		return nil, err
	}
	r, err := log.Read(q)
	if err != nil {
		return nil, err
	}
	answer := struct {
		Entries    []audit.Entry `json:"entries"`
		Next       *uint64       `json:"next"`
		Unreadable int           `json:"unreadable"`
	}{Entries: r.Entries, Unreadable: r.Unreadable}
	if r.Next > 0 {
		answer.Next = &r.Next
	}
	return json.Marshal(answer)
}
