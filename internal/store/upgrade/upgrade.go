// Package upgrade makes a store of format version 1 one of version 2, as docs/format.md tells. Its one idea is that all of it is one batch: what
// is cut off is begun anew. It meets damage with an error, which leaves the store to the program that wrote it.
package upgrade

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/canonjson"
	"trackway/internal/query"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/timeline"
	"trackway/internal/store/totals"
)

// upgrader is an upgrade under way.
type upgrader struct {
	db    *pebble.DB
	b     *pebble.Batch
	usage map[totals.Day]query.Usage
}

// keyFormer was there in some stores of version 1, which had the table of former holders.
var keyFormer = []byte("mformer")

// Stage adds to b what makes of the store in db one of version 2, but for its number. Cost: a read of the log and of all customers, once.
func Stage(db *pebble.DB, b *pebble.Batch) error {
	u := upgrader{db: db, b: b, usage: make(map[totals.Day]query.Usage)}
	for _, step := range []func() error{u.readUsage, u.merges, u.customers, u.writeUsage} {
		if err := step(); err != nil {
			return err
		}
	}
	return u.b.Delete(keyFormer, nil)
}

// readUsage reads what was always counted: version 1 had three numbers at first.
func (u *upgrader) readUsage() error {
	return reading.Scan(u.db, []byte{format.TableUsage}, func(key, record []byte) error {
		r := format.Reader{Rest: string(record)}
		day := totals.Day{Project: binary.BigEndian.Uint32(key), Day: query.Day(binary.BigEndian.Uint32(key[4:]))}
		u.usage[day] = query.Usage{Stored: r.Uvarint(), Duplicate: r.Uvarint(), Refused: r.Uvarint()}
		return r.Err()
	})
}

func (u *upgrader) add(project uint32, at trackway.Micros, one query.Usage) {
	day := totals.Day{Project: project, Day: query.DayOf(at)}
	u.usage[day] = u.usage[day].Plus(one)
}

// merges marks the entries of merges, counts these and notes the former holders of the identifiers that they name.
func (u *upgrader) merges() error {
	return reading.Scan(u.db, []byte{format.TableLog}, func(key, record []byte) error {
		e, err := format.DecodeEvent(binary.BigEndian.Uint64(key), record)
		if err == nil && e.Type == trackway.MergeType {
			err = u.merge(&e)
		}
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Seq, err)
		}
		return nil
	})
}

func (u *upgrader) merge(e *trackway.Event) error {
	key, err := reading.Entry(u.db, e, timeline.ContentHash(e))
	if err != nil {
		return err
	}
	entry, closer, err := u.db.Get(key)
	if err != nil {
		return err
	}
	_, n := binary.Uvarint(entry)
	marked := len(entry) > n
	if err := closer.Close(); err != nil {
		return err
	}
	for _, id := range erased.MergeIDs(e.Properties) { // also of one that a client sent: it may have been exported elsewhere
		if err := u.b.Set(format.AppendFormerKey(nil, e.Project, id, e.Customer), nil, nil); err != nil {
			return err
		}
	}
	if tail := binary.BigEndian.Uint64(key[len(key)-8:]); !marked && (tail != e.Seq || !looksLikeMerge(e)) {
		return nil // a client named it so, or it was erased
	}
	u.add(e.Project, e.Received, query.Usage{Absorbed: 1})
	return u.b.Set(key, append(binary.AppendUvarint(nil, e.Seq), format.MergeMark), nil)
}

// looksLikeMerge tells whether an event without a mark holds what was recorded of a merge then: two objects of identifiers.
func looksLikeMerge(e *trackway.Event) bool {
	p := canonjson.SplitObject(e.Properties)
	return len(p) == 2 && p[0].Name == query.AbsorbedIDs && p[1].Name == query.SurvivorIDs && p[0].Value[0] == '{' && p[1].Value[0] == '{'
}

// customers counts them. Of those absorbed by a merge that was erased since, it is not known when that was: they count on the
// last day.
func (u *upgrader) customers() error {
	absorbed := make(map[uint32]uint64)
	err := reading.Scan(u.db, []byte{format.TableCustomers}, func(key, record []byte) error {
		project := binary.BigEndian.Uint32(key)
		h, err := format.DecodeHolder(trackway.Customer(binary.BigEndian.Uint64(key[4:])), record)
		if err != nil {
			return fmt.Errorf("customer %d: %w", binary.BigEndian.Uint64(key[4:]), err)
		}
		u.add(project, h.Created, query.Usage{Created: 1})
		if h.MergedInto != 0 {
			absorbed[project]++
		}
		return nil
	})
	for project, n := range absorbed {
		last, known := u.last(project)
		total := u.usage[last]
		total.Absorbed += n - min(n, known)
		u.usage[last] = total
	}
	return err
}

// last returns a project's last day, and how many merges are counted so far.
func (u *upgrader) last(project uint32) (last totals.Day, merges uint64) {
	last.Project = project
	for day, total := range u.usage {
		if day.Project == project {
			last.Day = max(last.Day, day.Day)
			merges += total.Absorbed
		}
	}
	return last, merges
}

func (u *upgrader) writeUsage() error {
	var err error
	for day, total := range u.usage {
		err = errors.Join(err, u.b.Set(totals.AppendKey(nil, day), totals.Append(nil, total), nil))
	}
	return err
}
