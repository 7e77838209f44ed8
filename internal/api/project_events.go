package api

import (
	"context"

	"trackway/internal/api/permit"
	"trackway/internal/api/record"
	"trackway/internal/ask"
	"trackway/internal/query"
	"trackway/internal/query/page"
)

var eventParameters = append([]string{"type", "since", "until", "quarantined"}, ask.ListParameters...)

// eventSearch reads what a list of events is asked for.
func (c *reading) eventSearch() (l ask.List, f page.EventSearch, err error) {
	values, err := ask.Parse(c.r.URL.RawQuery, eventParameters...)
	if err != nil {
		return l, f, err
	}
	if l, err = ask.ListOf(values); err != nil {
		return l, f, err
	}
	f = page.EventSearch{NewestFirst: l.Newest, Cursor: page.Cursor(l.Cursor), Skip: l.Skip(), Limit: l.Rows}
	if f.Types, err = ask.Types(values); err != nil {
		return l, f, err
	}
	var ok bool
	if f.Types, ok = permit.Types(c.grant.Key, f.Types); !ok {
		return l, f, permit.NotFor("type", "read events of the type", values["type"][0])
	}
	which, err := ask.Choice(values, "quarantined", "all", "true", "false")
	if err != nil {
		return l, f, err
	}
	if yes := which == "true"; which != "all" {
		f.Quarantined = &yes
	}
	f.Since, f.Until, err = ask.Span(values)
	return l, f, err
}

// projectEvents answers a page of the project's events, in the order in which
// they came.
func (c *reading) projectEvents() error {
	return c.eventList(func(ctx context.Context, s query.Snapshot, f page.EventSearch) (page.EventList, int64, error) {
		records := int64(-1)
		if len(f.Types) == 0 && f.Since == 0 && f.Until == 0 && f.Quarantined == nil {
			total, err := query.Total(s, c.grant.Project.Number)
			if err != nil {
				return page.EventList{}, 0, err
			}
			records = int64(total.Events())
		}
		found, err := page.Received(ctx, s, c.grant.Project.Number, f)
		return found, records, err
	})
}

// timeline answers a page of a customer's events, by the time at which they
// happened.
func (c *reading) timeline() error {
	return c.eventList(func(ctx context.Context, s query.Snapshot, f page.EventSearch) (page.EventList, int64, error) {
		customer, err := c.named(s)
		if err != nil {
			return page.EventList{}, 0, err
		}
		found, err := page.Timeline(ctx, s, c.grant.Project.Number, customer, f)
		return found, -1, err
	})
}

func (c *reading) eventList(read func(context.Context, query.Snapshot, page.EventSearch) (page.EventList, int64, error)) error {
	l, f, err := c.eventSearch()
	if err != nil {
		return err
	}
	tag := c.versionTag()
	if c.has(tag, privateCache) {
		return nil
	}
	var b []byte
	err = c.question(func(ctx context.Context, s query.Snapshot) error {
		found, records, err := read(ctx, s, f)
		if err != nil {
			return err
		}
		if err := l.Reached(found.Complete, len(found.Rows)); err != nil {
			return err
		}
		if !found.Complete {
			tag = ""
		}
		b = l.AppendEnvelope(nil, records)
		for i := range found.Rows {
			if i > 0 {
				b = append(b, ',')
			}
			b = record.AppendEvent(b, permit.Shown(c.grant.Key, &found.Rows[i]))
		}
		b = ask.AppendEnd(b, string(found.Next), found.Complete)
		return nil
	})
	if err != nil {
		return err
	}
	return c.answerTagged(tag, privateCache, b)
}
