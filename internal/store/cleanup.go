package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/scrub"
)

// CleanUp has the files lose what was erased: it does all erasures that are scheduled together, and returns how many are done.
// After that nothing of them is in any file of the store. An erasure for which the files are clean is done once the destinations
// have heard of it, too. now is asked when that is so; it is the time that [Store.Erasures]
// gives. With an error, or when ctx ends, they stay scheduled, also over a restart.
//
// It runs beside readers and writers. It waits for readers that were there before it, and rewrites tables one compaction at
// a time: those of the log and of the timelines that held something that was erased or, of the log, too old, and of the others those
// that have changed. One call at a time.
func (s *Store) CleanUp(ctx context.Context, now func() trackway.Micros) (n int, err error) {
	pending, err := s.scheduled()
	if err != nil || len(pending) == 0 {
		return 0, err
	}
	unclean := maps.Clone(pending)
	maps.DeleteFunc(unclean, func(_ uint64, e erased.Record) bool { return e.Clean != 0 })
	if len(unclean) > 0 {
		if err := s.forget(unclean); err != nil {
			return 0, fmt.Errorf("former holders: %w", err)
		}
		if err := s.scrubber().Clean(ctx, spansOf(unclean)); err != nil {
			return 0, fmt.Errorf("clean up after %d erasures: %w", len(unclean), err)
		}
	}
	return s.setDone(pending, now())
}

// forget deletes what erased customers had lost before. Nobody needs it: their merges have no identifiers any more.
func (s *Store) forget(pending map[uint64]erased.Record) error {
	gone := make(map[trackway.Customer]bool, len(pending))
	for _, e := range pending {
		if c := e.Customer(); c != 0 {
			gone[c] = true
		}
	}
	return erased.Forget(
		s.db, gone, func(p uint32, c trackway.Customer) (*identity.Holder, error) { return reading.Survivor(s.db, p, c) },
		func(e *entry.Forget) error { return s.log.Append(e) },
	)
}

// scheduled reads the erasures that are not done.
func (s *Store) scheduled() (map[uint64]erased.Record, error) {
	s.mu.Lock() // what is half done is not looked at
	defer s.mu.Unlock()
	if n, _ := s.pending.Pending(); n == 0 {
		return nil, nil
	}
	return s.erasures().Pending()
}

// setDone notes that the files have lost what these erasures erased. It does not
// change the state: other servers may not be so far.
func (s *Store) setDone(clean map[uint64]erased.Record, at trackway.Micros) (int, error) {
	s.mu.Lock()
	next := s.nextErasure
	s.mu.Unlock()
	done, err := s.erasures().Cleaned(clean, s.copies.List(), next, at)
	if err != nil {
		return 0, err
	}
	for _, id := range done {
		s.pending.Done(id)
	}
	return len(done), nil
}

// scrubber works on the store's files.
func (s *Store) scrubber() *scrub.Scrubber {
	return &scrub.Scrubber{
		DB: s.db, Files: s.fs, Dir: s.dir, Staging: s.staging(), Readers: &s.readers,
		Scratch: format.ScratchKeys, Touch: s.touch, Alone: &s.upkeep,
		Removed: scrub.Span{Start: []byte{format.TableLog}, End: []byte{format.TableLog + 1}}, // events that were too old
	}
}

// spansOf lists what may hold something of these erasures.
func spansOf(pending map[uint64]erased.Record) []scrub.Span {
	for _, e := range pending {
		if e.Places.Anywhere {
			return []scrub.Span{{Start: []byte{0}, End: []byte{format.ScratchKeys}}}
		}
	}
	spans := []scrub.Span{
		{Start: []byte{0}, End: []byte{format.TableLog}},
		{Start: []byte{format.TableLog + 1}, End: []byte{format.TableTimeline}},
		{Start: []byte{format.TableTimeline + 1}, End: []byte{format.ScratchKeys}},
	}
	var customers []trackway.Customer
	var log []entry.Range
	for _, e := range pending {
		customers = append(customers, e.Places.Customers...)
		log = append(log, e.Places.Log...)
	}
	for _, r := range erased.Join(log) {
		spans = append(spans, scrub.Span{Start: format.AppendLogKey(nil, r.From), End: format.AppendLogKey(nil, r.To+1)})
	}
	slices.Sort(customers)
	for _, c := range slices.Compact(customers) {
		prefix := format.AppendTimelinePrefix(nil, c)
		spans = append(spans, scrub.Span{Start: prefix, End: format.After(prefix)})
	}
	return spans
}

// touch writes a record in the midst of r again as it is. If none is left, it
// deletes again what is not there, and says so.
func (s *Store) touch(r scrub.Span) (deleted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: r.Start, UpperBound: r.End})
	if err != nil {
		return false, err
	}
	if it.First() {
		err = s.db.Set(it.Key(), it.Value(), pebble.NoSync)
	} else if err = it.Error(); err == nil {
		deleted, err = true, s.db.Delete(r.Start, pebble.NoSync)
	}
	return deleted, errors.Join(err, it.Close())
}
