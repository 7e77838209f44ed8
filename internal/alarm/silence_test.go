package alarm

import (
	"slices"
	"testing"
	"time"

	"trackway/internal/config/alarming"
	"trackway/internal/query"
)

func hourOf(at time.Time) query.Hour { return query.Hour(at.Unix() / 3600) }

// filled returns a series of some weeks before now in which each hour has the
// number of events that f says.
func filled(now time.Time, weeks int, f func(at time.Time) uint64) *series {
	until := hourOf(now)
	s := newSeries(until-query.Hour(weeks*hoursAWeek), until)
	for h := s.first; h < until; h++ {
		s.add(h, f(h.Time()))
	}
	return s
}

func always(query.Hour) bool { return true }

var usualSilence = alarming.UsualOf(alarming.Silence)

// Each row changes what an hour, or the same hour of past weeks, holds.
func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 11, 0, 0, 0, time.UTC) // a Wednesday: 10:00 to 11:00 is judged
	hour := hourOf(now) - 1
	back := func(weeks int) query.Hour { return hour - query.Hour(weeks*hoursAWeek) }
	for name, c := range map[string]struct {
		weeks  int // of history
		events map[query.Hour]uint32
		down   []query.Hour
		rule   func(*alarming.Rule)
		zone   string
		want   judged
	}{
		"as usual":           {6, nil, nil, nil, "", judged{false, false, 100, 100, 4}},
		"nothing":            {6, map[query.Hour]uint32{hour: 0}, nil, nil, "", judged{false, true, 0, 100, 4}},
		"nearly nothing":     {6, map[query.Hour]uint32{hour: 9}, nil, nil, "", judged{false, true, 9, 100, 4}},
		"a tenth is enough":  {6, map[query.Hour]uint32{hour: 10}, nil, nil, "", judged{false, false, 10, 100, 4}},
		"a holiday, once":    {6, map[query.Hour]uint32{hour: 3, back(2): 25}, nil, nil, "", judged{false, false, 3, 25, 4}},
		"and silence":        {6, map[query.Hour]uint32{hour: 0, back(2): 25}, nil, nil, "", judged{false, true, 0, 25, 4}},
		"a quiet hour, once": {6, map[query.Hour]uint32{hour: 0, back(3): 19}, nil, nil, "", judged{true, false, 0, 19, 4}},
		"a campaign before":  {6, map[query.Hour]uint32{hour: 12, back(1): 90_000}, nil, nil, "", judged{false, false, 12, 100, 4}},
		"the hour before was quiet, once, and no zone is known": {6, map[query.Hour]uint32{hour: 0, back(1) - 1: 3}, nil, nil, "", judged{true, false, 0, 3, 4}},
		"the same in a known zone":                              {6, map[query.Hour]uint32{hour: 0, back(1) - 1: 3}, nil, nil, "Europe/Berlin", judged{false, true, 0, 100, 4}},
		"new today":                                             {0, map[query.Hour]uint32{hour: 0}, nil, nil, "", judged{true, false, 0, 0, 0}},
		"a week old":                                            {1, map[query.Hour]uint32{hour: 0}, nil, nil, "", judged{true, false, 0, 0, 0}},
		"two weeks old":                                         {2, map[query.Hour]uint32{hour: 0}, nil, nil, "", judged{true, false, 0, 0, 1}},
		"three weeks old":                                       {3, map[query.Hour]uint32{hour: 0}, nil, nil, "", judged{false, true, 0, 100, 2}},
		"one week is enough here":                               {2, map[query.Hour]uint32{hour: 0}, nil, func(r *alarming.Rule) { r.Weeks = 1 }, "", judged{false, true, 0, 100, 1}},
		"the server was down":                                   {6, map[query.Hour]uint32{hour: 0}, []query.Hour{hour}, nil, "", judged{true, false, 0, 0xffffffff, 0}},
		"it was down a week ago":                                {6, map[query.Hour]uint32{hour: 0, back(1): 0}, []query.Hour{back(1)}, nil, "", judged{false, true, 0, 100, 3}},
		"it was down for weeks":                                 {6, map[query.Hour]uint32{hour: 0}, []query.Hour{back(1), back(2), back(3)}, nil, "", judged{true, false, 0, 0, 1}},
		"another share":                                         {6, map[query.Hour]uint32{hour: 49}, nil, func(r *alarming.Rule) { r.Percent = 50 }, "", judged{false, true, 49, 100, 4}},
		"too few to say anything":                               {6, map[query.Hour]uint32{hour: 0}, nil, func(r *alarming.Rule) { r.Least = 101 }, "", judged{true, false, 0, 100, 4}},
	} {
		rule := usualSilence
		if c.rule != nil {
			c.rule(&rule)
		}
		s := filled(now, c.weeks, func(time.Time) uint64 { return 100 })
		if c.weeks == 0 {
			s = newSeries(hour, hour+1)
		}
		for h, n := range c.events {
			if h >= s.first {
				s.counts[h-s.first] = n
			}
		}
		cal := calendar{ran: func(h query.Hour) bool {
			return !slices.Contains(c.down, h)
		}}
		if c.zone != "" {
			cal.zone, _ = time.LoadLocation(c.zone)
		}
		if got := judge(&rule, s, hour, cal); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// A daily job runs once on the day that has its hour twice. The rest of that
// day is judged.
func TestHourThatIsTwice(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC) // 00:00 and 01:00 in UTC are 02:00 in Berlin
	for first := range 2 {
		s := filled(day.Add(12*time.Hour), 6, func(at time.Time) uint64 {
			local := at.In(zone)
			if local.Hour() == 2 && (at.Before(day) || at.Equal(day.Add(time.Duration(first)*time.Hour))) || local.Hour() == 5 && at.Before(day) {
				return 100
			}
			return 0
		})
		for h := range query.Hour(6) {
			got := judge(&usualSilence, s, hourOf(day)+h, calendar{zone, always})
			if want := (hourOf(day) + h).Time().In(zone).Hour() == 5; got.silent != want {
				t.Errorf("job in hour %d: hour %d is silent: %t, want %t", first, h, got.silent, want)
			}
		}
	}
}

// People get up at the same time by their clocks. On the days after their
// clocks were changed, that is another hour in UTC. No hour
// rings that is usual, in a known zone or an unknown one.
func TestSummerTime(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		// A shop that gets all of its orders from 8 to 20, by the clock.
		open := func(at time.Time) uint64 {
			if h := at.In(zone).Hour(); h >= 8 && h < 20 {
				return 1000
			}
			return 0
		}
		for _, change := range []time.Time{
			time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 4, 0, 0, 0, 0, time.UTC),
			time.Date(2026, 10, 3, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		} {
			end := change.AddDate(0, 0, 35)
			s := filled(end, 12, open)
			for what, c := range map[string]calendar{"known": {zone, always}, "unknown": {nil, always}} {
				rings := 0
				for h := hourOf(change.AddDate(0, 0, -2)); h < hourOf(end); h++ {
					if j := judge(&usualSilence, s, h, c); j.silent {
						rings++
						t.Errorf("%s, %s zone: rings for %v", name, what, h.Time().In(zone))
					}
				}
				// But it rings if nobody orders any more.
				quiet := filled(end, 12, func(at time.Time) uint64 {
					if at.After(change) {
						return 0
					}
					return open(at)
				})
				for h := hourOf(change); h < hourOf(change.AddDate(0, 0, 1)); h++ {
					if judge(&usualSilence, quiet, h, c).silent {
						rings++
					}
				}
				if rings < 8 {
					t.Errorf("%s, %s zone: silence rings in %d hours of a day, want at least 8", name, what, rings)
				}
			}
		}
	}
}

// A server that looks at counts of a flood does not overflow.
func TestLargeCounts(t *testing.T) {
	t.Parallel()
	s := newSeries(10, 12)
	s.add(10, 1<<40)
	s.add(10, 1<<40)
	s.add(9, 5)
	s.add(12, 5)
	if s.at(10) != 0xffffffff || s.at(9) != 0 || s.at(12) != 0 || s.began != 10 {
		t.Errorf("got %+v", s)
	}
	if !enough(0xffffffff, 0xffffffff, 100) || enough(0, 0, 10) || enough(9, 100, 10) || !enough(10, 100, 10) {
		t.Error("enough is wrong")
	}
}
