package store

import "trackway/internal/store/engine"

// ErrDamagedLog is returned by [Open] if something is missing in the write-ahead
// log that was acknowledged. See [Salvage].
var ErrDamagedLog = engine.ErrDamagedLog

// Ready returns nil while what is stored can be written, and else why it cannot.
// It asks no disk: it tells how the last write went.
func (s *Store) Ready() error { return s.stuck.Why() }
