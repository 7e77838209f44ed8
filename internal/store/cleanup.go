package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"trackway"
	"trackway/internal/entry"
	"trackway/internal/identity"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
	"trackway/internal/store/scrub"
)

// CleanUp removes erased data from the files. It handles all scheduled erasures
// together. Afterwards no file of the store holds any of the data. An erasure
// for which the files are clean is done once the destinations have it, too.
// CleanUp returns how many are done. It calls now for the time at which they
// were, which [Store.Erasures] then shows. If CleanUp fails or ctx ends, the
// erasures stay scheduled, even after a restart.
//
// Reads and writes continue meanwhile. CleanUp waits for the readers that came
// before it, and rewrites tables one compaction at a time. Of the log and the
// timelines, it rewrites the tables that held erased events or, in the log,
// expired ones. Of all others, it rewrites those that have changed. Only one
// call may run at a time.
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
		if l, ok := s.log.(interface {
			Clean(ctx context.Context) error
		}); ok { // it keeps entries
			if err := l.Clean(ctx); err != nil {
				return 0, fmt.Errorf("the log's entries: %w", err)
			}
		}
		done := s.engine.Hurry()
		defer done()
		if err := s.scrubber().Clean(ctx, spansOf(unclean)); err != nil {
			return 0, fmt.Errorf("clean up after %d erasures: %w", len(unclean), err)
		}
	}
	return s.setDone(pending, now())
}

// forget deletes the rows of identifiers that erased customers had lost
// earlier. They are useless, since the merges of these customers have no
// identifiers any more.
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

// scheduled reads the pending erasures. While a destination is down they may be
// many, so nobody waits for the reading.
func (s *Store) scheduled() (_ map[uint64]erased.Record, err error) {
	if n, _ := s.pending.Pending(); n == 0 {
		return nil, nil
	}
	s.mu.Lock() // excludes half-done changes
	from := s.db.NewSnapshot()
	s.mu.Unlock()
	defer func() { err = errors.Join(err, from.Close()) }()
	return s.erasures().Pending(from)
}

// setDone records that the files have lost the data of these erasures. It does
// not change the state, since other servers may not be done yet.
func (s *Store) setDone(clean map[uint64]erased.Record, at trackway.Micros) (int, error) {
	s.mu.Lock()
	next, last := s.nextErasure, s.nextSeq-1
	s.mu.Unlock()
	done, err := s.erasures().Cleaned(clean, s.copies.List(), next, last, at)
	if err != nil {
		return 0, err
	}
	for _, id := range done {
		s.pending.Done(id)
	}
	return len(done), nil
}

// scrubber returns a scrubber for the store's files.
func (s *Store) scrubber() *scrub.Scrubber {
	return &scrub.Scrubber{
		DB: s.db, Files: s.fs, Dir: s.dir, Staging: s.staging(), Readers: &s.readers,
		Scratch: format.ScratchKeys, Range: s.engine.Compact, Touch: s.touch, Alone: &s.upkeep,
		// holds expired events
		Removed: scrub.Span{Start: []byte{format.TableLog}, End: []byte{format.TableLog + 1}},
	}
}

// spansOf lists the ranges that may hold data of these erasures.
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

// touch implements [scrub.Scrubber.Touch].
func (s *Store) touch(r scrub.Span) (deleted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return scrub.Touch(s.db, r)
}
