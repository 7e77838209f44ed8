package logstore

import (
	"context"
	"fmt"
)

// copyBytes is how much Clean copies in one write.
const copyBytes = 4 << 20

// Clean removes entries up to an index for good: afterwards, no file of the
// store holds any of them, nor of those that were removed before. It returns
// once that is so, or ctx ends. Writes wait while the entries that stay are
// copied; usually there are few.
//
// REQUIRES: a snapshot covers the index and the entry after it.
func (s *Store) Clean(ctx context.Context, through uint64) error {
	if first, last := s.ends(); first != 0 && first <= through {
		if err := s.DeleteRange(first, min(through, last-1)); err != nil { //nolint:contextcheck // hashicorp/raft gives none
			return err
		}
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if begun, err := s.roll(); err != nil {
		err = fmt.Errorf("clean the Raft log: %w", err)
		if begun {
			s.fatal(err)
		}
		return err
	}
	if err := s.copyEntries(ctx); err != nil {
		return err
	}
	if err := s.prune(); err != nil {
		return fmt.Errorf("clean the Raft log: %w", err)
	}
	return s.syncDir() // so that no removed file comes back
}

// copyEntries writes all entries again. REQUIRES: writing is held.
func (s *Store) copyEntries(ctx context.Context) error {
	first, last := s.ends()
	for index := first; index != 0 && index <= last; {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		b, err := s.batch()
		if err != nil {
			return err
		}
		for ; index <= last && len(b.buf) < copyBytes; index++ {
			r, err := s.record(index) //nolint:contextcheck // as for hashicorp/raft
			if err != nil {
				return err
			}
			b.entry(kindReplace, &r)
		}
		if err := s.commit(b); err != nil {
			return err
		}
	}
	return nil
}
