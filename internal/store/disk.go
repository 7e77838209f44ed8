package store

import "trackway/internal/store/engine"

// ErrDamagedLog is the error of [Open] if the write-ahead log lacks something
// that was acknowledged. See [Salvage].
var ErrDamagedLog = engine.ErrDamagedLog

// Ready returns nil while the store can write, and otherwise the reason it
// cannot. It does not access the disk: it reports the result of the last write.
func (s *Store) Ready() error { return s.stuck.Why() }
