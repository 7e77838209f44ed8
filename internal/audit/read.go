package audit

import (
	"os"
	"time"
)

// Query selects entries.
type Query struct {
	Since, Until time.Time // Until is exclusive; zero: no bound
	Actions      []string  // their names or groups; empty: all
	Actor        string    // empty: all
	Before       uint64    // the number of an entry: only older ones; 0: no bound
	Limit        int       // at most so many; 0: no bound
}

// Reading is an answer to a query.
type Reading struct {
	Entries    []Entry // the newest first
	Next       uint64  // for Query.Before, to go on; 0: there are no more
	Unreadable int     // lines on the way that are no entries
}

// mostRead bounds the entries that a query with a limit looks at, from
// Query.Before on. If not enough of them are selected, the query goes on from
// Next.
const mostRead = 200_000

// Read returns the entries that a query selects. It does not compare checksums.
func (l *Log) Read(q *Query) (*Reading, error) { return l.read(q, mostRead) }

func (l *Log) read(q *Query, most int) (*Reading, error) {
	r := &Reading{Entries: []Entry{}}
	if l == nil {
		return r, nil
	}
	f, err := os.Open(l.path)
	if missing(err) {
		return r, nil
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	lines, last := 0, uint64(0)
	err = backward(f, info.Size(), func(text []byte, _ int64) bool {
		entry, _, ok := parse(text)
		if !ok {
			r.Unreadable++
			return true
		}
		if q.Before != 0 && entry.N >= q.Before { // these were seen
			return true
		}
		if q.Limit > 0 && (len(r.Entries) == q.Limit || lines == most) {
			r.Next = last
			return false
		}
		lines, last = lines+1, entry.N
		if q.selects(&entry.Entry) {
			r.Entries = append(r.Entries, entry.Entry)
		}
		return q.Since.IsZero() || !entry.At.Add(slack).Before(q.Since)
	})
	return r, err
}

// slack is by how much the clock may have gone backward between two entries.
const slack = time.Hour

func (q *Query) selects(e *Entry) bool {
	return !e.At.Before(q.Since) && (q.Until.IsZero() || e.At.Before(q.Until)) &&
		e.Action.in(q.Actions) && (q.Actor == "" || q.Actor == e.Actor)
}
