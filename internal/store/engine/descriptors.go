package engine

import "fmt"

// What a store needs of the files that a process may have open.
const (
	// ownFiles is what it needs besides the tables that are kept open for
	// readers: the directory and its lock, markers, the write-ahead log and the
	// one that follows it, the manifest and the one that follows it, the mark of
	// what is synced; what a flush and two compactions read and write; what a
	// backup and an export copy.
	ownFiles    = 64
	pebbleFiles = 10   // of these, Pebble takes off its own limit
	mostTables  = 4000 // kept open: more gain nothing
	leastFiles  = 200  // a limit below this is refused: Pebble keeps 64 tables open, and somebody has to be served
)

// Descriptors returns how many files a store has open at most if a process may
// have limit of them (RLIMIT_NOFILE). The others are the process's own: most of
// all, for connections. A limit below 200 is an error that says so.
func Descriptors(limit uint64) (files int, err error) {
	if limit < leastFiles {
		return 0, fmt.Errorf("this process may have %d files open, and needs at least %d, better 65536: "+
			"raise the limit where it is started (ulimit -n, or LimitNOFILE= in a systemd unit)", limit, leastFiles)
	}
	return ownFiles + tablesOpen(limit), nil
}

// tablesOpen returns how many tables are kept open under a limit of at least
// leastFiles: half of what is left, so that connections get the other half.
func tablesOpen(limit uint64) int { return int(min(mostTables, (limit-ownFiles)/2)) }
