package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"trackway"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// maxFormer is how many former holders of the identifiers the end of an erasure
// forgets, with the identifiers, under one hold of the lock. There can be any
// number of them: an identifier can move on from one customer to the next as
// often as somebody likes.
const maxFormer = 1000

// fewerFormer forgets former holders of the identifiers that are erased, a few
// at a time, until no more than maxFormer are left for the end. Their merges
// have been rewritten before.
//
// If the process ends after that, and the erasure is asked for again, nobody
// knows any more whose merges the files still hold as they were. So the places
// are written down first, as an erasure of its own that has its clean-up to
// come: whoever lists erasures sees one more.
func (e *eraser) fewerFormer() error {
	for first, more := true, true; more; first = false {
		var err error
		if more, err = e.forgetSome(first); err != nil {
			return err
		}
	}
	return nil
}

func (e *eraser) forgetSome(first bool) (more bool, err error) {
	s := e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	keys, err := e.formerKeys(2 * maxFormer)
	if err != nil || len(keys) <= maxFormer {
		return false, err
	}
	b := s.db.NewBatch()
	defer func() { _ = b.Close() }() // gives memory back
	id := s.nextErasure
	if first {
		record := erased.Record{Project: e.project, Asked: e.asked, Places: e.places.Of(e.customer)}
		err = b.Set(format.Key(nil).Erasure(id), erased.Append(nil, record), nil)
	}
	for _, key := range keys[:maxFormer] {
		err = errors.Join(err, b.Delete(key, nil))
	}
	if err = errors.Join(err, b.Commit(pebble.NoSync)); err == nil && first {
		s.nextErasure++
		s.pending.Add(id, e.asked)
	}
	return err == nil, err
}

// formerKeys lists the keys of former holders of the identifiers, most of them.
func (e *eraser) formerKeys(most int) (keys [][]byte, err error) {
	for _, id := range e.ids {
		prefix := format.Key(nil).FormerPrefix(e.project, id.Identifier)
		err = errors.Join(err, reading.Scan(e.s.db, prefix, func(c, _ []byte) error {
			if len(keys) == most {
				return reading.ErrStop
			}
			keys = append(keys, slices.Concat(prefix, c))
			return nil
		}))
	}
	if err != nil {
		return nil, fmt.Errorf("former holders: %w", err)
	}
	return keys, nil
}

// identifier erases one identifier, and that others had it.
func (e *eraser) identifier(b *pebble.Batch, id trackway.Identifier) error {
	key := format.AppendIDKey(nil, e.project, id)
	e.s.cache.ForgetID(key)
	if err := b.Delete(key, nil); err != nil {
		return err
	}
	prefix := format.Key(nil).FormerPrefix(e.project, id)
	return reading.Scan(e.s.db, prefix, func(c, _ []byte) error { return b.Delete(slices.Concat(prefix, c), nil) })
}
