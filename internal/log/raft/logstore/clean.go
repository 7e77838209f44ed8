package logstore

import (
	"context"

	"trackway/internal/store/scrub"
)

// scratch is the first of the one-byte keys that have no meaning.
const scratch = 0xf0

// Clean removes entries up to an index for good: afterwards, no file of the
// store holds any of them. It returns once that is so, or ctx ends. Reads and
// writes continue meanwhile.
//
// REQUIRES: a snapshot covers the index and the entry after it.
func (s *Store) Clean(ctx context.Context, through uint64) error {
	s.cleaning.Lock()
	defer s.cleaning.Unlock()
	if first, last := s.ends(); first != 0 && first <= through {
		if err := s.DeleteRange(first, min(through, last-1)); err != nil {
			return err
		}
	}
	all := scrub.Span{Start: []byte{tableLog}, End: []byte{tableLog + 1}}
	scrubber := scrub.Scrubber{
		DB: s.db.DB, Files: s.files, Dir: s.dir, Staging: s.files.PathJoin(s.dir, "checkpoint"), Readers: &s.readers,
		Scratch: scratch, Removed: all, Touch: s.touch, Alone: &s.alone, Recycled: memTables + 2,
	}
	return scrubber.Clean(ctx, []scrub.Span{all})
}

// touch implements [scrub.Scrubber.Touch].
func (s *Store) touch(r scrub.Span) (deleted bool, err error) {
	s.writing.Lock() // so that an entry does not come back
	defer s.writing.Unlock()
	return scrub.Touch(s.db.DB, r)
}
