package api

import (
	"context"

	"trackway/internal/api/stats"
	"trackway/internal/httpcache"
	"trackway/internal/query"
)

// stats answers how many events of each type there were in each interval.
func (c *reading) stats() error {
	q, err := stats.ParseCounts(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	final := q.By == query.ByReceived && q.Until != 0 && c.final(q.Until.Time())
	tag := c.versionTag()
	if !final && c.has(tag, privateCache) {
		return nil
	}
	var b []byte
	err = c.question(func(ctx context.Context, s query.Snapshot) (err error) {
		b, err = q.Answer(ctx, s, c.grant.Project.Number, c.grant.Key)
		return err
	})
	switch {
	case err != nil:
		return err
	case final:
		return c.answerFinal(q.Until.Time(), b)
	}
	return c.answerTagged(tag, privateCache, b)
}

// projectUsage answers what the project sent, by calendar month and by day.
func (c *reading) projectUsage() error {
	q, err := stats.ParseUsage(c.r.URL.RawQuery)
	if err != nil {
		return err
	}
	end := q.Until.AddDate(0, 0, 1)
	final := !q.Until.IsZero() && c.final(end)
	tag := c.versionTag()
	if !final && c.has(tag, privateCache) {
		return nil
	}
	var b []byte
	err = c.withSnapshot(func(s query.Snapshot) (err error) {
		b, err = q.Answer(s, c.grant.Project.Number, c.grant.Project.Name)
		return err
	})
	switch {
	case err != nil:
		return err
	case final:
		return c.answerFinal(end, b)
	}
	return c.answerTagged(tag, privateCache, b)
}

// catalogue answers with what is known of the project's types of events.
func (c *reading) catalogue() error {
	var b []byte
	err := c.question(func(context.Context, query.Snapshot) (err error) {
		b, err = c.types.Answer(c.grant.Project, c.grant.Key, c.r.URL.RawQuery, c.received)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerTagged(httpcache.ETag(b), privateCache, b)
}
