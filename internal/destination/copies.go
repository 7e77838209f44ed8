package destination

import (
	"math"
	"slices"
	"time"

	"trackway"
	"trackway/internal/change"
	"trackway/internal/destination/kept"
)

// Copies presents the destinations to the store, so that erasures and the
// expiry of events wait for them.
func (m *Manager) Copies() change.Copies { return copies{m} }

type copies struct{ of *Manager }

// List implements [change.Copies].
func (c copies) List() []change.Copy {
	all := c.of.list()
	list := make([]change.Copy, len(all))
	cursors := c.of.shared()
	for i, r := range all {
		name := r.config.Name
		list[i] = change.Copy{
			Name: name, Through: r.stats.at(), Deletes: r.deletes(), Part: r.view, Cursor: cursorName(name), Bound: r.bound(time.Now()),
		}
		if cursors != nil {
			list[i].Through = cursors[list[i].Cursor]
		}
	}
	return list
}

// bound returns a time: events that were received before it expire even if the
// destination does not have them.
func (r *runner) bound(now time.Time) trackway.Micros {
	switch {
	case r.config.Retention == "let_go":
		return math.MaxInt64
	case r.config.Hold > 0:
		return trackway.MicrosOf(now.Add(-r.config.Hold))
	}
	return math.MinInt64
}

// missedEvery is the interval at which the log reports missed events.
const missedEvery = time.Hour

// Missed implements [change.Copies].
func (c copies) Missed(name string, events int) {
	all := c.of.list()
	i := slices.IndexFunc(all, func(r *managed) bool { return r.config.Name == name })
	if i < 0 {
		return // it was removed meanwhile
	}
	r := all[i]
	err := r.files.Set(func(s *kept.State) { s.Missed += uint64(events) })
	if err != nil {
		r.log.Error("destination: the number of missed events is not kept", "err", err)
	}
	if missed, announce := r.stats.miss(events, time.Now()); announce {
		r.log.Error("destination: events expired before it had them", "missed", missed, "retention", r.config.Retention, "hold", r.config.Hold)
	}
}
