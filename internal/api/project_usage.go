package api

import (
	"encoding/json"
	"net/url"
	"time"

	"trackway/internal/ask"
	"trackway/internal/query"
)

// usageRow is what a project sent in a day or a month.
type usageRow struct {
	Day       string `json:"day,omitempty"`   // 2026-11-22
	Month     string `json:"month,omitempty"` // 2026-11
	Processed uint64 `json:"processed"`
	Stored    uint64 `json:"stored"`
	Duplicate uint64 `json:"duplicate"`
	Refused   uint64 `json:"refused"`
}

func newUsageRow(u query.Usage) usageRow {
	return usageRow{Processed: u.Processed(), Stored: u.Stored, Duplicate: u.Duplicate, Refused: u.Refused}
}

// projectUsage answers what the project sent, by calendar month and by day
// (UTC), for the days from since to until, both included.
func (c *reading) projectUsage() error {
	since, until, err := c.days()
	if err != nil {
		return err
	}
	final := !until.IsZero() && c.final(until.AddDate(0, 0, 1))
	tag := c.versionTag()
	if !final && c.has(tag, privateCache) {
		return nil
	}
	days, months := []usageRow{}, []usageRow{}
	var month query.Usage
	err = c.withSnapshot(func(s query.Snapshot) error {
		return s.Usage(c.grant.Project.Number, func(day query.Day, u query.Usage) bool {
			at := day.Time()
			if at.Before(since) || !until.IsZero() && at.After(until) {
				return true
			}
			row := newUsageRow(u)
			row.Day = at.Format(time.DateOnly)
			days = append(days, row)
			name := at.Format("2006-01")
			if len(months) == 0 || months[len(months)-1].Month != name {
				months, month = append(months, usageRow{}), query.Usage{}
			}
			month = month.Plus(u)
			months[len(months)-1] = newUsageRow(month)
			months[len(months)-1].Month = name
			return true
		})
	})
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Project string     `json:"project"`
		Months  []usageRow `json:"months"`
		Days    []usageRow `json:"days"`
	}{c.grant.Project.Name, months, days})
	switch {
	case err != nil:
		return err
	case final:
		return c.answerFinal(until.AddDate(0, 0, 1), body)
	}
	return c.answerTagged(tag, privateCache, body)
}

// days returns the days asked for, both included: those of a month, or from
// since to until. A missing bound is zero.
func (c *reading) days() (since, until time.Time, err error) {
	values, err := ask.Parse(c.r.URL.RawQuery, "since", "until", "month")
	if err != nil {
		return since, until, err
	}
	if values.Has("month") {
		since, err = time.Parse("2006-01", values.Get("month"))
		if err != nil || values.Has("since") || values.Has("until") {
			return since, until, ask.Invalid("month", "a month, such as 2026-11, without since and until")
		}
		return since, since.AddDate(0, 1, -1), nil
	}
	if since, err = date(values, "since"); err != nil {
		return since, until, err
	}
	until, err = date(values, "until")
	return since, until, err
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
