package store

import "trackway/internal/store/engine"

// Descriptors returns how many files a store has open at most if the process may
// have limit of them open (the soft RLIMIT_NOFILE). The rest of the limit is for
// connections and whatever else the process opens. A limit that is too low for a
// store is an error that says how many are needed; [Open] returns it, too.
func Descriptors(limit uint64) (files int, err error) { return engine.Descriptors(limit) }
