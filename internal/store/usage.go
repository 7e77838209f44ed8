package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/query"
	"trackway/internal/store/counts"
	"trackway/internal/store/damage"
	"trackway/internal/store/totals"
)

// Usage is counted together with what it counts: the totals of a project's day
// are in the batch that changes them, so a crash keeps both or neither.

// maxUsageDays is the most totals to keep in memory. Each active project needs
// one, and one more at midnight.
const maxUsageDays = 1024

// usageLocked returns the total of a day.
func (m *machine) usageLocked(u totals.Day) (query.Usage, error) {
	if total, ok := m.usage[u]; ok {
		return total, nil
	}
	value, closer, err := m.db.Get(totals.AppendKey(nil, u))
	if errors.Is(err, pebble.ErrNotFound) {
		return query.Usage{}, nil
	} else if err != nil {
		return query.Usage{}, err
	}
	total, err := totals.Decode(value)
	return total, errors.Join(err, closer.Close())
}

func (m *machine) setUsageLocked(u totals.Day, total query.Usage) {
	if len(m.usage) >= maxUsageDays {
		clear(m.usage)
	}
	m.usage[u] = total
}

// Refused counts commands of a project that were refused before they reached
// the store. The count becomes durable with the next durable change, so a crash
// may lose the latest refusals.
func (s *Store) Refused(project uint32, at trackway.Micros, n int) error {
	return s.log.Append(&entry.Refused{Project: project, At: at, Commands: uint64(n)})
}

// usageDelta is what a transaction adds to a total.
type usageDelta struct {
	of  totals.Day
	add query.Usage
}

// refusedOne is a command that was refused.
var refusedOne = query.Usage{Refused: 1}

// count records the outcome of a command.
func (t *tx) count(c *trackway.Command, r *trackway.Result) {
	var one query.Usage
	switch {
	case r.Err != nil:
		one = refusedOne
	case c.Kind != trackway.AddEvent:
		return
	case r.Duplicate:
		one.Duplicate = 1
	default:
		one.Stored = 1
	}
	t.addUsage(c.Project, c.Received, one)
}

// addUsage adds to the total of a project's day.
func (t *tx) addUsage(project uint32, at trackway.Micros, one query.Usage) {
	u := totals.Day{Project: project, Day: query.DayOf(at)}
	for i := range t.usage {
		if t.usage[i].of == u {
			t.usage[i].add = t.usage[i].add.Plus(one)
			return
		}
	}
	t.usage = append(t.usage, usageDelta{of: u, add: one})
}

// stageUsage stages the totals that the transaction changes, and stores these
// totals in t.usage. A total that cannot be read stays as it is, so that no
// event is refused because of it.
func (t *tx) stageUsage() error {
	all := t.usage
	t.usage = t.usage[:0]
	for _, d := range all {
		total, err := t.m.usageLocked(d.of)
		if err != nil {
			t.m.noteDamage(d.of, err)
			continue
		}
		d.add = d.add.Plus(total)
		t.key = totals.AppendKey(t.key[:0], d.of)
		t.value = totals.Append(t.value[:0], d.add)
		if err := t.b.Set(t.key, t.value, nil); err != nil {
			return err
		}
		t.usage = append(t.usage, d)
	}
	return nil
}

// noteDamage records a total that cannot be read.
func (m *machine) noteDamage(u totals.Day, err error) {
	m.damaged.Note(damage.Usage, fmt.Sprintf("project %d on day %d", u.Project, u.Day), err)
}

// recount counts the events in the log that an earlier process had counted only
// in memory. It records an event that cannot be read and leaves it out, since
// incomplete counts are better than no server.
func (s *Store) recount() error {
	counted := s.counts.Load(s.nextSeq - 1)
	var err error
	return errors.Join(s.eachEvent(counted+1, s.nextSeq, func(e *trackway.Event) bool {
		s.counts.Again(counts.Of(e))
		if s.counts.Due() {
			err = s.counts.Save()
		}
		return err == nil
	}), err)
}
