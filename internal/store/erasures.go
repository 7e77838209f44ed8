package store

import (
	"fmt"

	"trackway/internal/change"
	"trackway/internal/query"
	"trackway/internal/store/damage"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
)

func (s *Store) erasures() erased.Table {
	return erased.Table{DB: s.db, Lost: func(id uint64, err error) {
		s.damaged.Note(damage.Erasure, fmt.Sprintf("erasure %d", id), err)
	}}
}

// findErasures loads the erasures that an earlier process left to be cleaned
// up.
func (s *Store) findErasures() error {
	last, err := s.number(format.KeyErasures)
	if err != nil {
		return err
	}
	s.nextErasure = last + 1
	pending, err := s.erasures().Pending(s.db)
	if err != nil {
		return fmt.Errorf("find the erasures that are to be done: %w", err)
	}
	for id, e := range pending {
		s.pending.Add(id, e.Asked)
	}
	return nil
}

// Erasures lists a project's erasures, newest first: all pending ones, and the
// completed ones among the store's last 1000 or of the last hour.
func (s *Store) Erasures(project uint32) ([]query.Erasure, error) {
	return s.erasures().List(project, s.copies.List())
}

// LastErasure returns the id of the last erasure of any project, or 0.
func (s *Store) LastErasure() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nextErasure - 1
}

// SetCopies tells the store of its destinations. Erasures and the expiry of
// events wait for them: see [change.Copy].
func (s *Store) SetCopies(c change.Copies) { s.copies.Set(c) }
