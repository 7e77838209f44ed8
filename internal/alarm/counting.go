package alarm

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"trackway"
	"trackway/internal/config/alarming"
	"trackway/internal/excerpt"
	"trackway/internal/query"
)

// Counts is where the counts of events are.
type Counts interface {
	Snapshot() query.Snapshot
}

// history is the counts of a project: as a whole, and by type. Records of
// merges are no events that anybody sent.
type history struct {
	whole *series
	types map[string]*series
}

// read reads the counts of a project from one hour until before another. It
// takes four bytes for each hour and type.
func read(from Counts, project uint32, first, until query.Hour) (*history, error) {
	s := from.Snapshot()
	h := &history{whole: newSeries(first, until), types: make(map[string]*series)}
	err := s.Counts(project, query.CountRange{By: query.ByReceived, Since: first, Until: until}, func(c query.Count) bool {
		if c.Type == trackway.MergeType {
			return true
		}
		h.whole.add(c.Hour, c.Events)
		if c.Type == "" { // the types beyond those that are counted by name
			return true
		}
		t := h.types[c.Type]
		if t == nil {
			t = newSeries(first, until)
			h.types[c.Type] = t
		}
		t.add(c.Hour, c.Events)
		return true
	})
	return h, closing(err, s)
}

// closing closes a snapshot, and returns the first error.
func closing(err error, s query.Snapshot) error {
	if closed := s.Close(); err == nil {
		err = closed
	}
	return err
}

// watched is one subject of rules of silence.
type watched struct {
	rule         *alarming.Rule
	project, typ string
	series       *series
}

// subjects returns what the rules of silence watch in a project: first the
// project as a whole, then its types. Of several rules, the first that covers a
// subject decides.
func subjects(rules []alarming.Rule, project string, h *history) []watched {
	var all []watched
	seen := make(map[string]bool)
	add := func(r *alarming.Rule, typ string, s *series) {
		if !seen[typ] && s != nil {
			seen[typ] = true
			all = append(all, watched{r, project, typ, s})
		}
	}
	for i := range rules {
		r := &rules[i]
		switch {
		case r.Kind != alarming.Silence || r.Project != "" && r.Project != project:
		case r.Type == "":
			add(r, "", h.whole)
		case r.Type == alarming.Every:
			for _, typ := range slices.Sorted(maps.Keys(h.types)) {
				add(r, typ, h.types[typ])
			}
		default:
			add(r, r.Type, h.types[r.Type])
		}
	}
	slices.SortStableFunc(all, func(a, b watched) int { return strings.Compare(a.typ, b.typ) })
	return all
}

// hoursBack returns how many hours of the past the rules of silence look at,
// with a week more, which shows whether a subject is new. It is 0 if there is
// no such rule.
func hoursBack(rules []alarming.Rule) query.Hour {
	weeks := uint32(0)
	for i := range rules {
		if rules[i].Kind == alarming.Silence {
			weeks = max(weeks, rules[i].Weeks)
		}
	}
	if weeks == 0 {
		return 0
	}
	return query.Hour((weeks+1)*hoursAWeek) + 2
}

// judgeHour returns what the rules of silence say about an hour that is over.
// If a project is silent as a whole, its types are not mentioned. judged are
// the names of the projects that could be read; the error is about the others.
func judgeHour(rules []alarming.Rule, from Counts, projects []trackway.Project, hour query.Hour, c calendar) (all []verdict, judged []string, err error) {
	back := hoursBack(rules)
	for i := range projects {
		// With the running hour: if events come again by now, it is too late to
		// ring.
		if judged = append(judged, projects[i].Name); back == 0 {
			continue
		}
		h, failed := read(from, projects[i].Number, max(hour, back)-back, hour+2)
		if failed != nil {
			judged, err = judged[:len(judged)-1], errors.Join(err, failed)
			continue
		}
		whole := false
		for _, w := range subjects(rules, projects[i].Name, h) {
			j := judge(w.rule, w.series, hour, c)
			returned := enough(uint64(w.series.at(hour+1)), j.expected, w.rule.Percent)
			v := verdict{rule: w.rule, subject: subjectOf(w.project, w.typ), unknown: j.unknown, bad: j.silent && !returned, since: hour.Time()}
			v.silent = &silent{w.project, w.typ, j.expected, w.rule.Percent}
			v.unknown = v.unknown || whole && v.bad
			whole = whole || w.typ == "" && v.bad
			if v.bad {
				v.text = silenceText(w.project, w.typ, hour, j, c.zone)
			}
			all = append(all, v)
		}
	}
	return all, judged, err
}

// ran returns whether the server ran for nearly all of an hour, from the times
// in which it did not.
func ran(gaps []Gap) func(query.Hour) bool {
	return func(h query.Hour) bool {
		const most = 5 * time.Minute
		from, missing := h.Time(), time.Duration(0)
		for _, g := range gaps {
			missing += max(earlier(g.To, from.Add(time.Hour)).Sub(later(g.From, from)), 0)
		}
		return missing <= most
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

const mostShown = 80 // bytes of a name

// shown returns a name that clients have chosen, in a form that is safe in a
// message: short, and without characters that control anything.
func shown(name string) string {
	name = excerpt.Of(strings.ToValidUTF8(name, "\ufffd"), mostShown)
	if strings.ContainsFunc(name, func(c rune) bool { return c == '"' || !unicode.IsGraphic(c) }) {
		return strconv.Quote(name)
	}
	return name
}
