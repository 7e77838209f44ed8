// Package scrub removes deleted data from the files of a Pebble database, to
// the last byte, while the database is in use. Pebble drops a replaced record,
// or the tombstone of a deleted one, when a compaction rewrites the tables that
// hold it. So scrub makes Pebble rewrite those tables. It also replaces the
// files that no compaction touches, the write-ahead logs and manifests, with
// new ones.
//
// It knows neither the meaning of keys nor what was deleted: its user names the
// ranges.
package scrub

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/sleep"
)

// Span is a range of keys that excludes its end.
type Span struct{ Start, End []byte }

// Scrubber works on one database.
type Scrubber struct {
	DB      *pebble.DB
	Files   *Files
	Dir     string
	Staging string // a directory that only an interrupted checkpoint leaves behind; it is removed
	Readers *Readers
	Scratch byte // one-byte keys from this one on have no meaning and may be written
	Removed Span // its earlier deletions are cleaned by every call of Clean

	// Recycled is more than the number of write-ahead logs that Pebble keeps
	// for reuse; 0: 8.
	Recycled int

	// Range compacts a range of keys.
	Range func(ctx context.Context, start, end []byte) error

	// Touch is [Touch], while nobody else writes to the database.
	Touch func(Span) (deleted bool, err error)

	// Alone is held while files that no compaction touches are replaced. It
	// excludes checkpoints.
	Alone sync.Locker
}

// Clean removes from tables, write-ahead logs and manifests what was deleted or
// replaced within the spans before the call. Reads and writes continue
// meanwhile. Clean waits for the [Readers] that came before it, and compacts
// the lowest level one table at a time. Only one call may run at a time.
//
// A compaction drops a replaced version of a record, or the tombstone of a
// deleted one, when it merges it with what it replaces, unless a snapshot could
// show it. So Clean compacts all tables to the lowest level once no old
// snapshot is left. Two kinds of table keep old data all the same: those that a
// compaction moved without reading them, and those written while a snapshot was
// open. Their properties show this. Clean rewrites a record in the middle of
// each, which makes the next compaction rewrite the table. It repeats this
// until no such table is left.
func (s *Scrubber) Clean(ctx context.Context, spans []Span) error {
	if err := s.Readers.wait(ctx); err != nil {
		return err
	}
	removed, err := s.removed()
	if err != nil {
		return err
	}
	spans = append(spans, removed...)
	for _, r := range spans {
		if err := s.Compact(ctx, r); err != nil {
			return err
		}
	}
	if err := s.rewrite(ctx, spans); err != nil {
		return err
	}
	s.Alone.Lock()
	defer s.Alone.Unlock()
	if err := s.Files.RemoveAll(s.Staging); err != nil {
		return err
	}
	if err := s.renewLogs(ctx); err != nil {
		return fmt.Errorf("write-ahead log: %w", err)
	}
	if err := s.renewManifest(ctx); err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	return s.waitForTables(ctx)
}

// Touch rewrites the first record within the span without changing it. If there
// is no record, Touch deletes the span's first key again and returns true.
func Touch(db *pebble.DB, r Span) (deleted bool, err error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		return false, err
	}
	if it.First() {
		err = db.Set(it.Key(), it.Value(), pebble.NoSync)
	} else if err = it.Error(); err == nil {
		deleted, err = true, db.Delete(r.Start, pebble.NoSync)
	}
	return deleted, errors.Join(err, it.Close())
}

// rounds is how often tables are rewritten at most. After each round there is a
// pause, and each pause is longer by look.
const rounds = 50

// rewrite makes Pebble rewrite the unclean tables within the spans.
//
// If a table has no record left to rewrite, Touch deletes the table's first key
// again. This may bring the key back: Pebble may drop the table of its own
// accord just before, so that the new tombstone meets nothing below it and is
// moved down unchanged. Or Pebble compacts both while a snapshot older than the
// new tombstone is open, which keeps the tombstone. So rewrite searches for the
// tables with such a key and rewrites them again. The pause comes before the
// search: Pebble drops most of these tables during it, and must not do so
// between the search and Touch. rewrite does not wait for tombstones that
// others write meanwhile.
func (s *Scrubber) rewrite(ctx context.Context, spans []Span) error {
	for round := range rounds {
		unclean, err := s.uncleanIn(spans)
		if err != nil || len(unclean) == 0 {
			return err
		}
		if spans, err = s.again(ctx, unclean); err != nil || len(spans) == 0 {
			return err
		}
		if err := sleep.For(ctx, time.Duration(round+1)*look); err != nil {
			return err
		}
	}
	return fmt.Errorf("marks of deletion are left in tables after %d compactions", rounds)
}

// again makes Pebble rewrite tables. It returns the keys that Touch deleted.
func (s *Scrubber) again(ctx context.Context, tables []Span) (deleted []Span, err error) {
	for _, r := range tables {
		mark, err := s.Touch(r)
		if err != nil {
			return nil, err
		}
		if mark {
			deleted = append(deleted, Span{r.Start, append(bytes.Clone(r.Start), 0)})
		}
	}
	if err := s.Readers.wait(ctx); err != nil { // newer readers may hold back what Touch wrote
		return nil, err
	}
	for _, r := range tables {
		if err := s.Range(ctx, r.Start, r.End); err != nil {
			return nil, err
		}
	}
	return deleted, nil
}

func (s *Scrubber) uncleanIn(spans []Span) (all []Span, err error) {
	for _, r := range spans {
		found, err := s.Unclean(r)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// removed lists the tables with traces of what was deleted within Removed,
// limited to that span. The list is empty once all traces have been compacted
// away.
func (s *Scrubber) removed() ([]Span, error) {
	if err := s.DB.Flush(); err != nil {
		return nil, err
	}
	found, err := s.Unclean(s.Removed)
	for i := range found {
		r := &found[i]
		if bytes.Compare(r.Start, s.Removed.Start) < 0 {
			r.Start = s.Removed.Start
		}
		if bytes.Compare(r.End, s.Removed.End) > 0 {
			r.End = s.Removed.End
		}
	}
	return found, err
}

// Compact compacts a range of keys to the lowest level, one table of that level
// at a time.
func (s *Scrubber) Compact(ctx context.Context, r Span) error {
	levels, err := s.DB.SSTables(pebble.WithKeyRangeFilter(r.Start, r.End))
	if err != nil {
		return err
	}
	start := r.Start
	for _, table := range levels[len(levels)-1] {
		if next := table.Smallest.UserKey; bytes.Compare(start, next) < 0 {
			if err := s.Range(ctx, start, next); err != nil {
				return err
			}
			start = bytes.Clone(next)
		}
	}
	return s.Range(ctx, start, r.End)
}

// Unclean lists the tables with tombstones, or with old versions that were kept
// because a snapshot showed them when the tables were written.
func (s *Scrubber) Unclean(r Span) (found []Span, err error) {
	levels, err := s.DB.SSTables(pebble.WithKeyRangeFilter(r.Start, r.End), pebble.WithProperties())
	if err != nil {
		return nil, err
	}
	for _, level := range levels {
		for i := range level {
			t := &level[i]
			if t.Properties.NumDeletions > 0 || t.Properties.SnapshotPinnedKeys > 0 {
				found = append(found, Span{bytes.Clone(t.Smallest.UserKey), append(bytes.Clone(t.Largest.UserKey), 0)})
			}
		}
	}
	return found, nil
}

// recycled is more than the number of write-ahead logs that Pebble usually
// keeps for reuse.
const recycled = 8

// renewLogs replaces all write-ahead logs with new ones.
func (s *Scrubber) renewLogs(ctx context.Context) error {
	s.Files.fresh.Store(true)
	defer s.Files.fresh.Store(false)
	if err := s.DB.Flush(); err != nil { // a writer that was about to reuse an old log has it now
		return err
	}
	old, err := s.Files.list(s.Dir, isLog)
	if err != nil {
		return err
	}
	for range cmp.Or(s.Recycled, recycled) {
		if err := s.DB.Flush(); err != nil {
			return err
		}
	}
	return s.Files.waitGone(ctx, s.Dir, old)
}

// renewManifest makes Pebble start a new manifest, and one more so that Pebble
// drops the previous one. Manifests name the first and last key of each table
// that ever existed. Pebble starts a new one when more tables have come and
// gone since the last than exist. So renewManifest makes some come and go.
func (s *Scrubber) renewManifest(ctx context.Context) error {
	// One, so that no manifest that is still written has the old keys; one
	// more, so that Pebble drops the one before; and one in case old includes a
	// manifest that is not counted yet because it is just being created.
	const needed = 3
	old, err := s.Files.list(s.Dir, isManifest)
	if err != nil {
		return err
	}
	enough := s.Files.manifests.Load() + needed
	tables := s.tables()
	for range 100 + needed*tables/s.keys(tables) {
		if s.Files.manifests.Load() >= enough {
			return s.Files.waitGone(ctx, s.Dir, old)
		}
		if err := s.shuffle(ctx); err != nil {
			return err
		}
	}
	return errors.New("no new one was begun")
}

// tables returns how many tables the database has.
func (s *Scrubber) tables() int { return int(s.DB.Metrics().Total().TablesCount) }

// keys returns how many tables shuffle creates if there are so many: four times
// as many come and go.
func (s *Scrubber) keys(tables int) int { return min(0xff-int(s.Scratch), tables/2+2) }

// shuffle creates some tables of one key each, and removes them. The database
// must keep each key from Scratch on in a table of its own.
func (s *Scrubber) shuffle(ctx context.Context) error {
	keys := s.keys(s.tables())
	for _, write := range []func(key []byte) error{
		func(key []byte) error { return s.DB.Set(key, nil, pebble.NoSync) },
		func(key []byte) error { return s.DB.Delete(key, pebble.NoSync) },
	} {
		for i := range keys {
			if err := write([]byte{s.Scratch + byte(i)}); err != nil {
				return err
			}
		}
		if err := s.DB.Flush(); err != nil {
			return err
		}
	}
	return s.Range(ctx, []byte{s.Scratch}, []byte{0xff})
}

// waitForTables waits until only tables that are part of the store exist.
func (s *Scrubber) waitForTables(ctx context.Context) error {
	listed, err := s.Files.list(s.Dir, isTable)
	if err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		there, err := s.Files.list(s.Dir, func(name string) bool { return listed[name] })
		if err != nil {
			return false, err
		}
		levels, err := s.DB.SSTables()
		for _, level := range levels {
			for i := range level {
				delete(there, fmt.Sprintf("%06d.sst", uint64(level[i].BackingSSTNum)))
			}
		}
		return len(there) == 0, err
	})
}
