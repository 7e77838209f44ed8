package page

import (
	"bytes"
	"context"
	"slices"

	"trackway"
	"trackway/internal/query"
)

// EventSearch says which events to find. The zero value finds all of them,
// oldest first.
type EventSearch struct {
	Types        []string        // empty: all
	Since, Until trackway.Micros // Since ≤ time < Until; Until 0: no end
	Quarantined  *bool           // only events with the mark of a quarantine, or only others; nil: all
	NewestFirst  bool
	Cursor       Cursor
	Skip         int // rows
	Limit        int // rows, at least 1
}

// EventList is a page of the events that a search finds.
type EventList struct {
	Rows     []trackway.Event
	Next     Cursor // empty at the end
	Searched int    // events examined
	Complete bool   // false if the deadline came first: there may be fewer rows than asked for
}

// eventPager fills a page, as customerPager does.
type eventPager struct {
	ctx   context.Context //nolint:containedctx // lives no longer than the call
	f     EventSearch
	page  EventList
	last  Cursor // of the last event examined
	bytes int
}

// look examines an event, and reports whether to continue.
func (p *eventPager) look(e *trackway.Event, matches bool) bool {
	p.page.Searched++
	if p.page.Searched%checkEvery == 0 && p.ctx.Err() != nil {
		p.page.Complete, p.page.Next = false, p.last
		return false
	}
	if !matches || len(p.f.Types) > 0 && !slices.Contains(p.f.Types, e.Type) {
		return true
	}
	if p.f.Quarantined != nil && isQuarantined(e) != *p.f.Quarantined {
		return true
	}
	if p.f.Skip > 0 {
		p.f.Skip--
		return true
	}
	if len(p.page.Rows) >= p.f.Limit || p.bytes > maxPage {
		p.page.Next = p.last
		return false
	}
	row := *e
	row.Properties = bytes.Clone(e.Properties)
	p.page.Rows = append(p.page.Rows, row)
	p.bytes += len(row.Properties)
	return true
}

// Timeline returns a page of a customer's events by the time when they
// happened. If ctx ends, the page holds what was found until then. A page of
// large events may have fewer rows than asked for, so use Next to find out
// whether more follow. Errors: a [trackway.Invalid] about a cursor; those of
// the store.
func Timeline(ctx context.Context, s query.Snapshot, project uint32, c trackway.Customer, f EventSearch) (EventList, error) {
	after, err := f.Cursor.place()
	if err != nil {
		return EventList{}, err
	}
	p := eventPager{ctx: ctx, f: f, last: f.Cursor, page: EventList{Complete: true}}
	r := query.TimelineRange{After: after, Since: f.Since, Until: f.Until, NewestFirst: f.NewestFirst}
	err = s.Timeline(project, c, r, func(e *trackway.Event, at query.Place) bool {
		if !p.look(e, true) {
			return false
		}
		p.last = placeCursor(at)
		return true
	})
	return p.page, err
}

// Received returns a page of a project's events in the order of arrival. Since
// and Until apply to the time of receipt. If the counts show which part of the
// log holds events of these times and types, it reads only that part. Otherwise
// it works like [Timeline].
func Received(ctx context.Context, s query.Snapshot, project uint32, f EventSearch) (EventList, error) {
	p := eventPager{ctx: ctx, f: f, last: f.Cursor, page: EventList{Complete: true}}
	r, some, err := f.logRange(s, project)
	if err != nil || !some {
		return p.page, err
	}
	err = s.Log(r, func(e *trackway.Event) bool {
		in := e.Project == project && e.Received >= f.Since && (f.Until == 0 || e.Received < f.Until)
		if !p.look(e, in) {
			return false
		}
		p.last = logCursor(e.Seq)
		return true
	})
	return p.page, err
}

// logRange returns the part of the log to read. some is false if there is
// nothing to read.
func (f *EventSearch) logRange(s query.Snapshot, project uint32) (r query.LogRange, some bool, err error) {
	seq, err := f.Cursor.log()
	if err != nil {
		return r, false, err
	}
	r = query.LogRange{NewestFirst: f.NewestFirst, Project: project}
	if f.Since > 0 || f.Until > 0 || len(f.Types) > 0 {
		if r.First, r.Last, err = f.bounds(s, project); err != nil || r.Last == 0 {
			return r, false, err
		}
	}
	switch {
	case seq == 0:
	case f.NewestFirst:
		if r.Last == 0 || seq <= r.Last {
			r.Last = seq - 1
		}
		return r, r.Last != 0, nil
	default:
		r.First = max(r.First, seq+1)
	}
	return r, r.Last == 0 || r.First <= r.Last, nil
}

// bounds returns the lowest and the highest sequence number that an event of
// these times and types can have, or 0 and 0 if there are no such events.
func (f *EventSearch) bounds(s query.Snapshot, project uint32) (first, last uint64, err error) {
	hours := query.CountRange{By: query.ByReceived, Since: query.HourOf(f.Since)}
	if f.Until > 0 {
		hours.Until = query.HourOf(f.Until-1) + 1
	}
	err = s.Counts(project, hours, func(c query.Count) bool {
		if len(f.Types) > 0 && c.Type != "" && !slices.Contains(f.Types, c.Type) {
			return true
		}
		if last == 0 || c.First < first {
			first = c.First
		}
		last = max(last, c.Last)
		return true
	})
	return first, last, err
}
