package suspect

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"trackway"
)

// hours is how far back the counts go.
const hours = 24

// mostAgents is how many names of user agents are kept in each project.
const mostAgents = 50

// counts counts events of suspect customers, by project.
type counts struct {
	mu       sync.Mutex
	projects map[uint32]*tally
}

// tally is the counts of a project.
type tally struct {
	since  trackway.Micros
	hours  [hours]hour
	agents map[string]uint64
}

// hour is the counts of an hour.
type hour struct {
	number  int64 // since 1970
	events  uint64
	suspect [5]uint64 // events, by reason
	labeled [5]uint64 // customers, by reason
}

func (c *counts) add(project uint32, at trackway.Micros, why Reason, first bool, robot string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.projects[project]
	if t == nil {
		t = &tally{since: at, agents: make(map[string]uint64)}
		if c.projects == nil {
			c.projects = make(map[uint32]*tally)
		}
		c.projects[project] = t
	}
	number := hourOf(at)
	h := &t.hours[number%hours]
	if h.number != number {
		*h = hour{number: number}
	}
	h.events++
	if i := slices.Index(Reasons(), why); i >= 0 {
		h.suspect[i]++
		if first {
			h.labeled[i]++
		}
	}
	if robot != "" {
		t.said(robot)
	}
}

// said counts a name. If there are too many, it takes the place of the rarest
// one, with its count (the algorithm "space-saving"): so invented names do not
// keep a frequent one out.
func (t *tally) said(name string) {
	if n, known := t.agents[name]; known || len(t.agents) < mostAgents {
		t.agents[strings.Clone(name)] = n + 1
		return
	}
	rarest, least := "", uint64(math.MaxUint64)
	for other, n := range t.agents {
		if n < least {
			rarest, least = other, n
		}
	}
	delete(t.agents, rarest)
	t.agents[strings.Clone(name)] = least + 1
}

func hourOf(at trackway.Micros) int64 { return int64(at) / time.Hour.Microseconds() }

// View is what was noticed of a project in the last 24 hours, this one
// included. Its JSON is the answer of the API.
type View struct {
	Project  string     `json:"project"`
	Property string     `json:"property"` // empty: nobody is labeled
	Rules    RulesView  `json:"rules"`
	Since    int64      `json:"since"`  // Unix seconds: when the counts began; 0: no event came yet
	Events   uint64     `json:"events"` // that were looked at
	Reasons  []ByReason `json:"reasons"`
	Agents   []ByAgent  `json:"agents"` // since the counts began, the most frequent first
}

// RulesView is the rules in force. 0 means that there is no such rule.
type RulesView struct {
	Pace    int   `json:"pace"`
	Repeats int   `json:"repeats"`
	Regular int64 `json:"regular"` // seconds
	OneHit  int   `json:"one_hit"`
}

// ByReason is what has a reason.
type ByReason struct {
	Reason    Reason `json:"reason"`
	Events    uint64 `json:"events"`
	Customers uint64 `json:"customers"` // that were labeled
}

// ByAgent is the events of a user agent that says that it is a program.
type ByAgent struct {
	Name   string `json:"name"`
	Events uint64 `json:"events"` // at most, if there are many names
}

// View returns what was noticed of a project.
func (l *Labeler) View(p *trackway.Project, now time.Time) View {
	b := &p.Bots
	v := View{
		Project: p.Name, Property: b.Property, Reasons: []ByReason{}, Agents: []ByAgent{},
		Rules: RulesView{b.Pace, b.Repeats, int64(b.Regular / time.Second), b.OneHit},
	}
	for _, r := range Reasons() {
		v.Reasons = append(v.Reasons, ByReason{Reason: r})
	}
	l.counts.mu.Lock()
	defer l.counts.mu.Unlock()
	t := l.counts.projects[p.Number]
	if t == nil {
		return v
	}
	v.Since = int64(t.since) / 1e6
	last := hourOf(trackway.MicrosOf(now))
	for i := range t.hours {
		h := &t.hours[i]
		if h.number <= last-hours || h.number > last {
			continue
		}
		v.Events += h.events
		for j := range v.Reasons {
			v.Reasons[j].Events += h.suspect[j]
			v.Reasons[j].Customers += h.labeled[j]
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(t.agents), func(a, b string) int {
		return cmp.Or(cmp.Compare(t.agents[b], t.agents[a]), cmp.Compare(a, b))
	}) {
		v.Agents = append(v.Agents, ByAgent{name, t.agents[name]})
	}
	return v
}
