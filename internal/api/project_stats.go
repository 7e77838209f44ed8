package api

import (
	"cmp"
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"trackway"
	"trackway/internal/ask"
	"trackway/internal/canonjson"
	"trackway/internal/httpcache"
	"trackway/internal/query"
	"trackway/internal/query/page"
)

const maxSums = 10_000

var errCountedTogether = ask.Invalid("type", "one of the first "+strconv.Itoa(query.MaxTypes)+
	" types of the project. This one came later: all of those are counted together, under the type null")

var (
	intervals = map[string]page.Interval{"hour": page.Hourly, "day": page.Daily, "month": page.Monthly}
	times     = map[string]query.By{"time": query.ByTime, "received": query.ByReceived}
)

// statsQuestion holds the parameters of a question about statistics.
type statsQuestion struct {
	query.CountRange

	by, interval string
}

func statsOf(values url.Values) (q statsQuestion, err error) {
	if q.interval, err = ask.Choice(values, "interval", "month", "day", "hour"); err != nil {
		return q, err
	}
	if q.by, err = ask.Choice(values, "by", "time", "received"); err != nil {
		return q, err
	}
	types, err := ask.Types(values)
	if err != nil {
		return q, err
	}
	if len(types) > 1 {
		return q, ask.Invalid("type", "one type")
	}
	since, until, err := ask.Span(values)
	if err != nil {
		return q, err
	}
	for _, bound := range []struct {
		name string
		at   trackway.Micros
	}{{"since", since}, {"until", until}} {
		if query.HourOf(bound.at).Time() != bound.at.Time() {
			return q, ask.Invalid(bound.name, "the beginning of an hour: events are counted by the hour")
		}
	}
	q.CountRange = query.CountRange{By: times[q.by], Since: query.HourOf(since), Until: query.HourOf(until)}
	if len(types) == 1 {
		q.Type = types[0]
	}
	return q, nil
}

// stats answers how many events of each type there were in each interval.
func (c *reading) stats() error {
	values, err := ask.Parse(c.r.URL.RawQuery, "type", "interval", "since", "until", "by")
	if err != nil {
		return err
	}
	q, err := statsOf(values)
	if err != nil {
		return err
	}
	final := q.By == query.ByReceived && q.Until != 0 && c.final(q.Until.Time())
	tag := c.versionTag()
	if !final && c.has(tag, privateCache) {
		return nil
	}
	var b []byte
	err = c.question(func(ctx context.Context, s query.Snapshot) error {
		if q.Type != "" && c.grant.Key.MayName(trackway.GetEvents, q.Type) && !s.CountedByName(c.grant.Project.Number, q.Type) {
			return errCountedTogether
		}
		sums, full, err := page.Sums(ctx, s, c.grant.Project.Number, q.CountRange, intervals[q.interval], maxSums)
		maps.DeleteFunc(sums, func(sum page.Sum, _ uint64) bool { return !c.grant.Key.MayName(trackway.GetEvents, sum.Type) })
		switch {
		case err != nil:
			return err
		case full:
			return ask.Invalid("interval", "a longer one: the answer would have more than "+strconv.Itoa(maxSums)+
				" rows. A shorter time, or a single type, have fewer, too")
		}
		b = q.appendAnswer(nil, sums)
		return nil
	})
	switch {
	case err != nil:
		return err
	case final:
		return c.answerFinal(q.Until.Time(), b)
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

func (q *statsQuestion) appendAnswer(b []byte, sums map[page.Sum]uint64) []byte {
	b = append(append(b, `{"by":"`...), q.by...)
	b = append(append(b, `","interval":"`...), q.interval...)
	b = append(b, `","rows":[`...)
	for i, sum := range slices.SortedFunc(maps.Keys(sums), compareSums) {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"start":`...), sum.Start.Time().Unix(), 10)
		b = append(b, `,"type":`...)
		if sum.Type == "" {
			b = append(b, "null"...)
		} else {
			b = canonjson.AppendString(b, sum.Type)
		}
		b = strconv.AppendUint(append(b, `,"events":`...), sums[sum], 10)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func compareSums(a, b page.Sum) int {
	return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.Type, b.Type))
}
