package store

import "trackway/internal/store/engine"

// Descriptors returns the most files that a store opens if the process may open
// up to limit files (the soft RLIMIT_NOFILE). The rest of the limit is for
// connections and other files of the process. If the limit is too low for a
// store, the error says how many files it needs. [Open] returns the same error.
func Descriptors(limit uint64) (files int, err error) { return engine.Descriptors(limit) }
