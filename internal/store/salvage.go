package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"

	"trackway/internal/store/damage"
	"trackway/internal/store/engine"
	"trackway/internal/store/format"
)

// numbersSkipped is how many sequence numbers to skip after events were lost:
// more than a write-ahead log has room for. A follower that has read up to a
// lost event must not miss a new one.
const numbersSkipped = 1 << 24

// Lost describes what is lost with a damaged write-ahead log.
type Lost struct {
	Log  string // the file in which the loss begins
	Why  string
	Kept int64 // bytes of that file that are kept: everything committed before the damage

	Event uint64 // the last event that is kept, or 0
	// readable changes after the damage; they are lost too, since they may
	// build on others
	Records int
	Last    uint64 // the last event in Records, or 0
}

// Salvage returns what the store in dir has lost if its write-ahead log is
// damaged, or nil if it has lost nothing. If drop is true, the store continues
// with what was committed before the damage, and [Open] works again. Otherwise
// Salvage changes nothing. Errors: [ErrInUse], and those of [Open].
//
// The loss includes everything acknowledged after Lost.Event: events, changes
// of customers, merges, erasures.
func Salvage(dir string, o Options, drop bool) (*Lost, error) {
	o.salvage = true
	if !drop {
		return examine(dir, o)
	}
	s, err := Open(dir, o)
	if err != nil {
		return nil, err
	}
	lost := s.lost()
	if lost != nil {
		err = s.skipNumbers(lost.Last)
	}
	return lost, errors.Join(err, s.Close())
}

// examine opens the store in dir without changing it.
func examine(dir string, o Options) (lost *Lost, err error) {
	o.readOnly = true
	db, err := engine.Open(dir, engineOptions(o), func(*pebble.Options) {})
	if err != nil {
		return nil, inUse(dir, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s := &Store{engine: db}
	s.db, s.damaged = db.DB, damage.New(slog.New(slog.DiscardHandler))
	if version, err := engine.CheckFormat(s.db); err != nil || version == 0 {
		return s.lost(), err
	}
	if err := s.findNext(); err != nil {
		return nil, err
	}
	return s.lost(), nil
}

// lost returns what the opening left out.
func (s *Store) lost() *Lost {
	l := s.engine.Lost()
	if l == nil {
		return nil
	}
	return &Lost{Log: l.Log, Why: l.Why, Kept: l.Kept, Records: l.Records, Last: l.Last, Event: max(s.nextSeq, 1) - 1}
}

// skipNumbers moves the next sequence number past all that may have been
// assigned.
func (s *Store) skipNumbers(last uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextSeq = max(s.nextSeq, last+1) + numbersSkipped
	if err := s.db.Set([]byte(format.KeyNextSeq), binary.BigEndian.AppendUint64(nil, s.nextSeq), pebble.Sync); err != nil {
		return fmt.Errorf("skip the numbers of lost events: %w", err)
	}
	return nil
}
