package store

import "trackway/internal/store/engine"

// ErrDamagedLog is returned by [Open] if something is missing in the write-ahead
// log that was acknowledged. See [Salvage].
var ErrDamagedLog = engine.ErrDamagedLog

// Ready returns nil while what is stored can be written, and else why it cannot.
// It asks no disk: it tells how the last write went.
func (s *Store) Ready() error {
	if err := s.stuck.Load(); err != nil {
		return engine.Unready(*err)
	}
	return nil
}

func (s *Store) diskFull() bool {
	err := s.stuck.Load()
	return err != nil && engine.IsFull(*err)
}

// setStuck notes why nothing can be written, or that it can be again.
func (s *Store) setStuck(err error) {
	if err == nil {
		s.stuck.Store(nil)
		s.log.Info("the store can write again", "dir", s.dir)
		return
	}
	s.stuck.Store(&err)
	s.log.Error(engine.Advice(err)+"; nothing that was acknowledged is lost", "dir", s.dir, "err", err.Error()) //nolint:sloglint // one of a few constants
}
