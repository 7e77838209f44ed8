package logstore

import (
	"encoding/json"
	"fmt"

	hraft "github.com/hashicorp/raft"
)

// Snapshot says what the state of a server covers for good: all entries up to
// an index, and who was a member then. The state itself is elsewhere, and may
// cover more.
type Snapshot struct {
	Index              uint64              `json:"index"` // 0: no snapshot
	Term               uint64              `json:"term"`
	Configuration      hraft.Configuration `json:"configuration"`
	ConfigurationIndex uint64              `json:"configuration_index"`
}

// Snapshot returns the last snapshot.
func (s *Store) Snapshot() (at Snapshot, err error) {
	value, err := s.Get([]byte(keySnapshot))
	if err != nil || value == nil {
		return at, err
	}
	if err := json.Unmarshal(value, &at); err != nil {
		return at, fmt.Errorf("where the last snapshot ends: %w", err)
	}
	return at, nil
}

// endOfSnapshot stands for the last entry of a snapshot that is not in the log,
// because the state of another server was installed. Only its term is asked
// for: nobody is sent an entry without the term of the one before it, and that
// one is not there. Without it, this server would refuse what follows the
// snapshot, if it has some of that already, and get the snapshot again and
// again.
func (s *Store) endOfSnapshot(index uint64, log *hraft.Log) error {
	at, err := s.Snapshot()
	if err != nil {
		return err
	}
	if index != at.Index || index <= 1 {
		return hraft.ErrLogNotFound
	}
	*log = hraft.Log{Index: at.Index, Term: at.Term, Type: hraft.LogNoop}
	return nil
}

// SetSnapshot notes that the server's own state covers a snapshot. REQUIRES:
// that state is on the disk.
func (s *Store) SetSnapshot(at Snapshot) error {
	value, err := json.Marshal(at)
	if err != nil {
		return err
	}
	return s.Set([]byte(keySnapshot), value)
}

// Install notes that the server's state is replaced by one from another server.
// In the same write, it removes all entries before the snapshot's last one.
// They may differ from what the group has decided, and if this server became
// the leader, it would send them to others.
//
// If the log has the snapshot's last entry, what follows it stays. If that
// entry has another term, Install replaces it by an empty entry with the
// snapshot's term. Then the next entries of the leader follow it, and replace
// the rest. Otherwise the library would ask for the snapshot again and again
// (hashicorp/raft, issue 697).
//
// REQUIRES: the new state is on the disk.
func (s *Store) Install(at Snapshot) error {
	value, err := json.Marshal(at)
	if err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	b, err := s.batch()
	if err != nil {
		return err
	}
	b.set(keySnapshot, value)
	if err := s.remove(b, 0, at.Index-1); err != nil {
		return err
	}
	conflict := false
	if first, last := s.ends(); first <= at.Index && last >= at.Index && first != 0 {
		r, err := s.record(at.Index)
		if err != nil {
			return err
		}
		if conflict = r.log.Term != at.Term; conflict {
			// Its size stays the same, because those that follow count it.
			r.log = hraft.Log{Index: at.Index, Term: at.Term, Type: hraft.LogNoop, Data: r.log.Data, Extensions: r.log.Extensions}
			b.entry(kindReplace, &r)
		}
	}
	if err := s.commit(b); err != nil {
		return err
	}
	if s.forget(); conflict {
		s.mu.Lock()
		s.recent.keep(at.Index+1, s.last)
		s.mu.Unlock()
	}
	s.pruneSoon()
	return nil
}
