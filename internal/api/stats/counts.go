// Package stats reads questions about numbers of events, and makes their
// answers: how many there were in each interval, and what a project sent on
// each day.
package stats

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

// Counts is a question about the number of events in each interval.
type Counts struct {
	query.CountRange

	by, interval string
}

// ParseCounts reads a question from the query of a URL.
func ParseCounts(rawQuery string) (q Counts, err error) {
	values, err := ask.Parse(rawQuery, "type", "interval", "since", "until", "by")
	if err != nil {
		return q, err
	}
	if q.interval, err = ask.Choice(values, "interval", "month", "day", "hour"); err != nil {
		return q, err
	}
	if q.by, err = ask.Choice(values, "by", "time", "received"); err != nil {
		return q, err
	}
	q.CountRange, err = rangeOf(values)
	q.By = times[q.by]
	return q, err
}

func rangeOf(values url.Values) (r query.CountRange, err error) {
	types, err := ask.Types(values)
	if err != nil {
		return r, err
	}
	if len(types) > 1 {
		return r, ask.Invalid("type", "one type")
	}
	since, until, err := ask.Span(values)
	if err != nil {
		return r, err
	}
	for _, bound := range []struct {
		name string
		at   trackway.Micros
	}{{"since", since}, {"until", until}} {
		if query.HourOf(bound.at).Time() != bound.at.Time() {
			return r, ask.Invalid(bound.name, "the beginning of an hour: events are counted by the hour")
		}
	}
	r = query.CountRange{Since: query.HourOf(since), Until: query.HourOf(until)}
	if len(types) == 1 {
		r.Type = types[0]
	}
	return r, nil
}

// Answer returns the answer in JSON, with the types that the key may read.
func (q *Counts) Answer(ctx context.Context, s query.Snapshot, project uint32, key *trackway.Key) ([]byte, error) {
	if q.Type != "" && key.MayName(trackway.GetEvents, q.Type) && !s.CountedByName(project, q.Type) {
		return nil, errCountedTogether
	}
	sums, full, err := page.Sums(ctx, s, project, q.CountRange, intervals[q.interval], maxSums)
	maps.DeleteFunc(sums, func(sum page.Sum, _ uint64) bool { return !key.MayName(trackway.GetEvents, sum.Type) })
	switch {
	case err != nil:
		return nil, err
	case full:
		return nil, ask.Invalid("interval", "a longer one: the answer would have more than "+strconv.Itoa(maxSums)+
			" rows. A shorter time, or a single type, have fewer, too")
	}
	return q.appendAnswer(nil, sums), nil
}

func (q *Counts) appendAnswer(b []byte, sums map[page.Sum]uint64) []byte {
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
