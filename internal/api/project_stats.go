package api

import (
	"context"
	"encoding/json"
	"time"

	"trackway"
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

// bots answers with what was noticed of suspect customers.
func (c *reading) bots() error {
	b, err := json.Marshal(c.suspects.View(c.grant.Project, c.received))
	if err != nil {
		return err
	}
	return c.answerTagged(httpcache.ETag(b), privateCache, b)
}

// catalogue answers with what is known of the project's types of events.
func (c *reading) catalogue() error { return c.known(c.types.Answer) }

// contractList answers with what the project demands of its events.
func (c *reading) contractList() error { return c.known(c.contracts.Answer) }

// known answers a question about what is in memory.
func (c *reading) known(answer func(*trackway.Project, *trackway.Key, string, time.Time) ([]byte, error)) error {
	var b []byte
	err := c.question(func(context.Context, query.Snapshot) (err error) {
		b, err = answer(c.grant.Project, c.grant.Key, c.r.URL.RawQuery, c.received)
		return err
	})
	if err != nil {
		return err
	}
	return c.answerTagged(httpcache.ETag(b), privateCache, b)
}
