package watch

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"trackway/internal/clientip"
	"trackway/internal/excerpt"
)

// caller is the state that a sketch keeps of one caller.
type caller struct {
	key clientip.Key

	count, over uint64  // over is the part of count that may belong to other callers
	variance    float64 // of count, if calls are sampled

	// The fields below cover the time since the caller was added.
	calls, refused           uint64
	first, last              time.Time
	source                   string // of the last call
	projects, routes, agents recent
	types                    recent
	bodies, repeats          uint64
	hashes                   [fewBodies]uint64 // of the last different bodies, the latest first
}

const (
	fewTexts  = 4
	fewBodies = 8
	longest   = 120 // bytes kept of a text
)

// note remembers the facts in the head of a call.
func (c *caller) note(from *Call) {
	if c.first.IsZero() {
		c.first = from.At
	}
	c.last = from.At
	c.calls += from.Weight
	if from.Refused {
		c.refused += from.Weight
	}
	if source := excerpt.Cut(from.Source, longest); source != c.source {
		c.source = strings.Clone(source)
	}
	c.projects.note(from.Project)
	c.routes.note(from.Route)
	c.agents.note(from.Agent)
}

// sent remembers a body.
func (c *caller) sent(hash uint64, types []string) {
	for _, name := range types {
		c.types.note(name)
	}
	known := c.hashes[:min(c.bodies-c.repeats, fewBodies)]
	c.bodies++
	at := slices.Index(known, hash)
	if at >= 0 {
		c.repeats++
	} else {
		at = fewBodies - 1
	}
	copy(c.hashes[1:at+1], c.hashes[:at])
	c.hashes[0] = hash
}

// merge combines the state of two sketches, of different times, for one caller.
func merge(now, before *caller) *caller {
	c := *now
	c.count += before.count
	c.over += before.over
	c.variance += before.variance
	c.calls += before.calls
	c.refused += before.refused
	c.bodies += before.bodies
	c.repeats += before.repeats
	if !before.first.IsZero() {
		c.first = before.first
	}
	if c.last.IsZero() {
		c.last, c.source = before.last, before.source
	}
	c.projects.append(&before.projects)
	c.routes.append(&before.routes)
	c.agents.append(&before.agents)
	c.types.append(&before.types)
	return &c
}

func (c *caller) row(policy string) Caller {
	row := Caller{
		Policy: policy, Address: c.key.String(), Source: c.source, Calls: c.calls, Refused: c.refused,
		First: c.first.UTC().Truncate(time.Second), Last: c.last.UTC().Truncate(time.Second),
		Projects: c.projects.list(), Routes: c.routes.list(), Agents: c.agents.list(), Types: c.types.list(),
		Bodies: c.bodies,
	}
	if c.bodies > 0 {
		const digits = 1000 // more would suggest false precision
		row.Repeats = float64(c.repeats*digits/c.bodies) / digits
	}
	return row
}

// recent holds the last few different texts, the latest first. Empty strings
// are free places.
type recent [fewTexts]string

// note moves a text to the front. It copies only new texts.
func (r *recent) note(text string) {
	if text == "" {
		return
	}
	text = excerpt.Cut(text, longest)
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?") // no longer than before
	}
	at := slices.Index(r[:], text)
	if at == 0 {
		return
	}
	if at < 0 {
		at, text = len(r)-1, strings.Clone(text)
	} else {
		text = r[at]
	}
	copy(r[1:at+1], r[:at])
	r[0] = text
}

// append adds older texts as far as there is room.
func (r *recent) append(older *recent) {
	for _, text := range older {
		if i := slices.Index(r[:], ""); i >= 0 && !slices.Contains(r[:], text) {
			r[i] = text
		}
	}
}

func (r *recent) list() []string {
	n := slices.Index(r[:], "")
	if n < 0 {
		n = len(r)
	}
	return slices.Clone(r[:n:n])
}
