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

// numbersSkipped is how many sequence numbers are not given out after events
// were lost: more than a write-ahead log has room for. Who has read up to one of
// a lost event must not miss a new one.
const numbersSkipped = 1 << 24

// Lost tells what is lost with a damaged write-ahead log.
type Lost struct {
	Log  string // the file where it begins
	Why  string
	Kept int64 // bytes of that file that are kept: what was committed before the damage

	Event   uint64 // the last event that is kept, 0 if there is none
	Records int    // changes behind the damage that can be read; they are lost, too, since they may build on others
	Last    uint64 // the last event among these, 0 if there is none
}

// Salvage tells what is lost of the store in dir, if its write-ahead log is
// damaged, and nil if nothing is. With drop it has the store go on with
// what was committed before the damage: [Open] works after that. Without drop
// nothing is changed. Errors: [ErrInUse], and those of [Open].
//
// What was acknowledged and is lost is whatever came after Lost.Event: events,
// changes of customers, merges, erasures.
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
	if known, err := s.checkFormat(); err != nil || !known {
		return s.lost(), err
	}
	if err := s.findNext(); err != nil {
		return nil, err
	}
	return s.lost(), nil
}

// lost returns what the opening has left out.
func (s *Store) lost() *Lost {
	l := s.engine.Lost()
	if l == nil {
		return nil
	}
	return &Lost{Log: l.Log, Why: l.Why, Kept: l.Kept, Records: l.Records, Last: l.Last, Event: max(s.nextSeq, 1) - 1}
}

// skipNumbers has sequence numbers go on behind all that may have been given out.
func (s *Store) skipNumbers(last uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextSeq = max(s.nextSeq, last+1) + numbersSkipped
	if err := s.db.Set([]byte(format.KeyNextSeq), binary.BigEndian.AppendUint64(nil, s.nextSeq), pebble.Sync); err != nil {
		return fmt.Errorf("skip the numbers of lost events: %w", err)
	}
	return nil
}
