package totals

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/query"
)

// maxDays is how many totals are kept in memory. Each active project needs one,
// and one more at midnight.
const maxDays = 1024

// Writer receives the records of a batch.
type Writer interface {
	Set(key, value []byte, o *pebble.WriteOptions) error
}

// Tally adds to totals, a transaction at a time. The totals of a day are in the
// batch that changes them, so a crash keeps both or neither. A Tally is not
// safe for concurrent use.
type Tally struct {
	from    pebble.Reader
	damaged func(what string, err error)
	known   map[Day]query.Usage // as they are committed
	changes []change            // of the transaction
	key     []byte
	value   []byte
}

// change is what a transaction adds to a total. Once it is staged, add is the
// new total.
type change struct {
	of  Day
	add query.Usage
}

// NewTally returns a tally of the totals in from. It calls damaged for a total
// that cannot be read.
func NewTally(from pebble.Reader, damaged func(what string, err error)) Tally {
	return Tally{from: from, damaged: damaged, known: make(map[Day]query.Usage)}
}

// Begin starts a transaction, and forgets one that was not committed.
func (t *Tally) Begin() { t.changes = t.changes[:0] }

// Add adds to the total of a project's day.
func (t *Tally) Add(project uint32, at trackway.Micros, one query.Usage) {
	u := Day{Project: project, Day: query.DayOf(at)}
	for i := range t.changes {
		if t.changes[i].of == u {
			t.changes[i].add = t.changes[i].add.Plus(one)
			return
		}
	}
	t.changes = append(t.changes, change{of: u, add: one})
}

// Stage stages the totals that the transaction changes. A total that cannot be
// read stays as it is, so that no event is refused because of it. Cost: a
// look-up for each day that is not in memory.
func (t *Tally) Stage(b Writer) error {
	all := t.changes
	t.changes = t.changes[:0]
	for _, c := range all {
		total, err := t.Total(c.of)
		if err != nil {
			t.damaged(fmt.Sprintf("project %d on day %d", c.of.Project, c.of.Day), err)
			continue
		}
		c.add = c.add.Plus(total)
		t.key = AppendKey(t.key[:0], c.of)
		t.value = Append(t.value[:0], c.add)
		if err := b.Set(t.key, t.value, nil); err != nil {
			return err
		}
		t.changes = append(t.changes, c)
	}
	return nil
}

// Committed remembers what Stage staged.
func (t *Tally) Committed() {
	for _, c := range t.changes {
		if len(t.known) >= maxDays {
			clear(t.known)
		}
		t.known[c.of] = c.add
	}
}

// Total returns the committed total of a day.
func (t *Tally) Total(u Day) (query.Usage, error) {
	if total, ok := t.known[u]; ok {
		return total, nil
	}
	value, closer, err := t.from.Get(AppendKey(nil, u))
	if errors.Is(err, pebble.ErrNotFound) {
		return query.Usage{}, nil
	} else if err != nil {
		return query.Usage{}, err
	}
	total, err := Decode(value)
	return total, errors.Join(err, closer.Close())
}

// Empty forgets the totals in memory, which changes only how fast the next ones
// are found.
func (t *Tally) Empty() { clear(t.known) }
