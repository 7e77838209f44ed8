package api

import (
	"context"
	"net/url"
	"strconv"

	"trackway"
	"trackway/internal/query"
	"trackway/internal/query/page"
	"trackway/internal/wire"
)

const maxTypesAsked = 50

var eventParameters = append([]string{"type", "since", "until"}, listParameters...)

// eventSearch reads what a list of events is asked for.
func (c *call) eventSearch() (l list, f page.EventSearch, err error) {
	values, err := c.parameters(eventParameters...)
	if err != nil {
		return l, f, err
	}
	if l, err = c.list(values); err != nil {
		return l, f, err
	}
	f = page.EventSearch{NewestFirst: l.newest, Cursor: page.Cursor(l.cursor), Skip: l.skip(), Limit: l.rows}
	if f.Types, err = typesAsked(values); err != nil {
		return l, f, err
	}
	f.Since, f.Until, err = span(values)
	return l, f, err
}

func typesAsked(values url.Values) ([]string, error) {
	types := values["type"]
	if len(types) > maxTypesAsked {
		return nil, invalid("type", "at most "+strconv.Itoa(maxTypesAsked)+" types")
	}
	for _, t := range types {
		if t == "" || len(t) > trackway.MaxTypeBytes {
			return nil, invalid("type", "a type of event, which has 1 to "+strconv.Itoa(trackway.MaxTypeBytes)+" bytes")
		}
	}
	return types, nil
}

// span returns the times from since up to, not including, until.
func span(values url.Values) (since, until trackway.Micros, err error) {
	if since, err = instant(values, "since", 0); err != nil {
		return 0, 0, err
	}
	if until, err = instant(values, "until", 0); err != nil {
		return 0, 0, err
	}
	if values.Has("until") && until <= since {
		return 0, 0, invalid("until", "a time after since")
	}
	return since, until, nil
}

// projectEvents answers a page of the project's events, in the order in which they came.
func (c *call) projectEvents() error {
	return c.eventList(func(ctx context.Context, s query.Snapshot, f page.EventSearch) (page.EventList, int64, error) {
		records := int64(-1)
		if len(f.Types) == 0 && f.Since == 0 && f.Until == 0 {
			total, err := query.Total(s, c.grant.Project.Number)
			if err != nil {
				return page.EventList{}, 0, err
			}
			records = int64(total.Events()) //nolint:gosec // G115: a count
		}
		found, err := page.Received(ctx, s, c.grant.Project.Number, f)
		return found, records, err
	})
}

// timeline answers a page of a customer's events, by the time at which they happened.
func (c *call) timeline() error {
	return c.eventList(func(ctx context.Context, s query.Snapshot, f page.EventSearch) (page.EventList, int64, error) {
		customer, err := c.named(s)
		if err != nil {
			return page.EventList{}, 0, err
		}
		found, err := page.Timeline(ctx, s, c.grant.Project.Number, customer, f)
		return found, -1, err
	})
}

func (c *call) eventList(read func(context.Context, query.Snapshot, page.EventSearch) (page.EventList, int64, error)) error {
	l, f, err := c.eventSearch()
	if err != nil {
		return err
	}
	tag := c.versionTag()
	if c.has(tag, privateCache) {
		return nil
	}
	return c.question(func(ctx context.Context, s query.Snapshot) error {
		found, records, err := read(ctx, s, f)
		if err != nil {
			return err
		}
		if err := l.reached(found.Complete, len(found.Rows)); err != nil {
			return err
		}
		if !found.Complete {
			tag = ""
		}
		b := l.appendEnvelope(nil, records)
		for i := range found.Rows {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendEventRow(b, &found.Rows[i])
		}
		return c.answerTagged(tag, privateCache, appendEnd(b, string(found.Next), found.Complete))
	})
}

// appendEventRow appends an event with all that is known about it.
func appendEventRow(b []byte, e *trackway.Event) []byte {
	b = strconv.AppendUint(append(b, `{"seq":"`...), e.Seq, 10)
	b = strconv.AppendUint(append(b, `","customer":"`...), uint64(e.Customer), 10)
	b = e.Received.AppendSeconds(append(b, `","received":`...))
	b = append(b, ',')
	start := len(b)
	b = wire.AppendEvent(b, e)
	return append(b[:start], b[start+1:]...) // its members, without the bracket in front
}
