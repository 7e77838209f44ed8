package stats

import (
	"encoding/json"
	"net/url"
	"time"

	"trackway/internal/ask"
	"trackway/internal/query"
)

// Usage is a question about what a project sent, by calendar month and by day
// (UTC), for the days from Since to Until, both included. A missing bound is
// zero.
type Usage struct{ Since, Until time.Time }

// ParseUsage reads a question from the query of a URL: a month, or days.
func ParseUsage(rawQuery string) (q Usage, err error) {
	values, err := ask.Parse(rawQuery, "since", "until", "month")
	if err != nil {
		return q, err
	}
	if values.Has("month") {
		month, err := time.Parse("2006-01", values.Get("month"))
		if err != nil || values.Has("since") || values.Has("until") {
			return q, ask.Invalid("month", "a month, such as 2026-11, without since and until")
		}
		return Usage{month, month.AddDate(0, 1, -1)}, nil
	}
	if q.Since, err = date(values, "since"); err != nil {
		return q, err
	}
	q.Until, err = date(values, "until")
	return q, err
}

// date returns a parameter of the query that is a day, such as 2026-11-22, or
// zero if it is absent.
func date(values url.Values, name string) (time.Time, error) {
	if !values.Has(name) {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.DateOnly, values.Get(name))
	if err != nil {
		return time.Time{}, ask.Invalid(name, "a day, such as 2026-11-22")
	}
	return at, nil
}

// row is what a project sent in a day or a month.
type row struct {
	Day       string `json:"day,omitempty"`   // 2026-11-22
	Month     string `json:"month,omitempty"` // 2026-11
	Processed uint64 `json:"processed"`
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Refused   uint64 `json:"refused"`
}

func newRow(u query.Usage) row {
	return row{Processed: u.Processed(), Stored: u.Stored, Duplicate: u.Duplicate, Refused: u.Refused}
}

// Answer returns the answer in JSON. name is the project's.
func (q Usage) Answer(s query.Snapshot, project uint32, name string) ([]byte, error) {
	days, months := []row{}, []row{}
	var month query.Usage
	err := s.Usage(project, func(day query.Day, u query.Usage) bool {
		at := day.Time()
		if at.Before(q.Since) || !q.Until.IsZero() && at.After(q.Until) {
			return true
		}
		r := newRow(u)
		r.Day = at.Format(time.DateOnly)
		days = append(days, r)
		of := at.Format("2006-01")
		if len(months) == 0 || months[len(months)-1].Month != of {
			months, month = append(months, row{}), query.Usage{}
		}
		month = month.Plus(u)
		months[len(months)-1] = newRow(month)
		months[len(months)-1].Month = of
		return true
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		Project string `json:"project"`
		Months  []row  `json:"months"`
		Days    []row  `json:"days"`
	}{name, months, days})
}
