package engine

import "fmt"

// The number of files that a store needs to have open.
const (
	// ownFiles is the number of files a store needs besides the tables that it
	// keeps open for readers: the directory and its lock, markers, the
	// write-ahead log and its successor, the manifest and its successor, the
	// mark of what is synced, the files that a flush and two compactions read
	// and write, and those that a backup and an export copy.
	ownFiles    = 64
	pebbleFiles = 10   // the part of ownFiles that Pebble subtracts from its own limit
	mostTables  = 4000 // most tables to keep open: more bring no gain
	// a lower limit is refused: Pebble keeps 64 tables open, and connections
	// need some files
	leastFiles = 200
)

// Descriptors returns the most files that a store opens if the process may open
// up to limit files (RLIMIT_NOFILE). The rest is for the process, mainly for
// connections. If the limit is below 200, Descriptors returns an error that
// says so.
func Descriptors(limit uint64) (files int, err error) {
	if limit < leastFiles {
		return 0, fmt.Errorf("this process may have %d files open, and needs at least %d, better 65536: "+
			"raise the limit where it is started (ulimit -n, or LimitNOFILE= in a systemd unit)", limit, leastFiles)
	}
	return ownFiles + tablesOpen(limit), nil
}

// tablesOpen returns how many tables to keep open under a limit of at least
// leastFiles. It takes half of what remains after ownFiles, so that connections
// get the other half.
func tablesOpen(limit uint64) int { return int(min(mostTables, (limit-ownFiles)/2)) }
