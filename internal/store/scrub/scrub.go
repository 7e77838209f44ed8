// Package scrub takes what was deleted out of the files of a Pebble database, to the last byte, while it is in use. Its one
// idea: Pebble drops a record that was replaced, and the mark of one that was deleted, when a compaction rewrites the tables
// that hold them; so it has those rewritten, and has the files that no compaction touches, write-ahead logs and manifests,
// replaced by new ones.
//
// It does not know what keys mean, and not what was deleted: its user says in which ranges.
package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/sleep"
)

// Span is a range of keys, without its end.
type Span struct{ Start, End []byte }

// Scrubber works on one database.
type Scrubber struct {
	DB      *pebble.DB
	Files   *Files
	Dir     string
	Staging string // a directory that only a checkpoint which was cut off leaves: it is removed
	Readers *Readers
	Scratch byte // keys of one byte, from this one on, mean nothing and may be written
	Removed Span // what was deleted within it before a call goes, too, whatever spans the call is about

	// Touch writes a record within the span again as it is. If there is none, it
	// deletes the span's first key again, and says so.
	Touch func(Span) (deleted bool, err error)

	// Alone is held while files are replaced that no compaction touches: no checkpoint is made meanwhile.
	Alone sync.Locker
}

// Clean takes out of tables, write-ahead logs and manifests what was deleted or replaced within the spans before the call.
// Others go on reading and writing. It waits for the [Readers] that were there before it, and compacts a table of the lowest
// level at a time. One call at a time.
//
// A version of a record that another one has replaced, and the mark of one that was deleted, are dropped when a compaction
// brings them together with what they replace, unless a snapshot could show them. So all tables are compacted to the lowest
// level once no old snapshot is left. Two kinds of table keep something all the same: those that compaction moved without
// reading them, and those that it wrote while there was a snapshot. Both say so of themselves; a record in the midst of each
// is written again, which has the next compaction rewrite them. That is done until they are gone.
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

// rounds is how often tables are rewritten at most, with a rest after each that
// grows by look.
const rounds = 50

// rewrite has the unclean tables within the spans rewritten.
//
// A table may have no record left that could be written again. Then Touch
// deletes the table's first key again, and may bring it back by that: Pebble may
// drop the table of its own accord just before, so that the new mark of deletion
// meets nothing below it, and is moved down as it is. Or it compacts both while
// a snapshot is open that is older than the new mark, which so stays. So the
// tables that hold such a key are looked for and rewritten again. The rest comes
// before that look: Pebble drops most of them in it, and must not do so between
// the look and Touch. Marks that others write meanwhile are not waited for.
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

// again has tables rewritten, and returns the keys that Touch deleted for it.
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
	if err := s.Readers.wait(ctx); err != nil { // those that came since may hold back what Touch wrote
		return nil, err
	}
	for _, r := range tables {
		if err := s.DB.Compact(ctx, r.Start, r.End, false); err != nil {
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

// removed lists the tables that tell of what was deleted within Removed, as far as they lie in it. There are none where all of it has
// been compacted away.
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

// Compact brings a range of keys down to the lowest level, a table of that at a time.
func (s *Scrubber) Compact(ctx context.Context, r Span) error {
	levels, err := s.DB.SSTables(pebble.WithKeyRangeFilter(r.Start, r.End))
	if err != nil {
		return err
	}
	start := r.Start
	for _, table := range levels[len(levels)-1] {
		if next := table.Smallest.UserKey; bytes.Compare(start, next) < 0 {
			if err := s.DB.Compact(ctx, start, next, false); err != nil {
				return err
			}
			start = bytes.Clone(next)
		}
	}
	return s.DB.Compact(ctx, start, r.End, false)
}

// Unclean lists the tables that hold marks of deletion, or versions that a snapshot showed when they were written.
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

// recycled is more write-ahead logs than Pebble keeps for writing them over.
const recycled = 8

// renewLogs replaces all write-ahead logs by new ones.
func (s *Scrubber) renewLogs(ctx context.Context) error {
	s.Files.fresh.Store(true)
	defer s.Files.fresh.Store(false)
	if err := s.DB.Flush(); err != nil { // whoever was about to take an old one has it now
		return err
	}
	old, err := s.Files.list(s.Dir, isLog)
	if err != nil {
		return err
	}
	for range recycled {
		if err := s.DB.Flush(); err != nil {
			return err
		}
	}
	return s.Files.waitGone(ctx, s.Dir, old)
}

// renewManifest has Pebble begin a new manifest, and one more so that it gives up the one before: they name the first and last
// key of each table that there was. It begins one when more tables have come and gone since the last than there are. So some
// come and go.
func (s *Scrubber) renewManifest(ctx context.Context) error {
	// One, so that what is now is in none that is written; one more, so that Pebble
	// gives up the one before; and one in case that old has one that is not counted
	// yet, for it is just being made.
	const tries, needed = 100, 3
	old, err := s.Files.list(s.Dir, isManifest)
	if err != nil {
		return err
	}
	enough := s.Files.manifests.Load() + needed
	for range tries {
		if s.Files.manifests.Load() >= enough {
			return s.Files.waitGone(ctx, s.Dir, old)
		}
		if err := s.shuffle(ctx); err != nil {
			return err
		}
	}
	return errors.New("no new one was begun")
}

// shuffle makes some tables, of a key each, and removes them. The database must be one that keeps keys of
// another first byte in other tables.
func (s *Scrubber) shuffle(ctx context.Context) error {
	total := s.DB.Metrics().Total()
	keys := min(0xff-int(s.Scratch), int(total.TablesCount)/2+2)
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
	return s.DB.Compact(ctx, []byte{s.Scratch}, []byte{0xff}, false)
}

// waitForTables waits until no table is there any more that is not part of the store now.
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
