package store

import (
	"encoding/binary"
	"fmt"
	"slices"

	"trackway/internal/query"
	"trackway/internal/store/damage"
	"trackway/internal/store/erased"
	"trackway/internal/store/format"
	"trackway/internal/store/reading"
)

// maxErasures is how many completed erasures are remembered.
const maxErasures = 1000

// erasures calls do for each remembered erasure, oldest first. It records an
// erasure that cannot be read, and treats it as pending and with unknown
// places. So the next clean-up completes it by searching everywhere.
func (s *Store) erasures(do func(id uint64, e erased.Record)) error {
	return reading.Scan(s.db, []byte(format.PrefixErasure), func(key, record []byte) error {
		id := binary.BigEndian.Uint64(key)
		e, err := erased.Decode(record)
		if err != nil {
			s.damaged.Note(damage.Erasure, fmt.Sprintf("erasure %d", id), err)
			e = erased.Record{Places: erased.Places{Anywhere: true}}
		}
		do(id, e)
		return nil
	})
}

// findErasures loads the erasures that an earlier process left to be cleaned
// up.
func (s *Store) findErasures() error {
	last, err := s.number(format.KeyErasures)
	if err != nil {
		return err
	}
	s.nextErasure = last + 1
	err = s.erasures(func(id uint64, e erased.Record) {
		if e.Done == 0 {
			s.pending.Add(id, e.Asked)
		}
	})
	if err != nil {
		return fmt.Errorf("find the erasures that are to be done: %w", err)
	}
	return nil
}

// Erasures lists a project's erasures, newest first: all pending ones, and the
// completed ones among the store's last 1000.
func (s *Store) Erasures(project uint32) ([]query.Erasure, error) {
	var list []query.Erasure
	err := s.erasures(func(id uint64, e erased.Record) {
		if e.Project == project {
			list = append(list, query.Erasure{ID: id, Asked: e.Asked, Done: e.Done})
		}
	})
	slices.Reverse(list)
	return list, err
}
